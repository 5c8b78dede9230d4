"""What is resolved: the artifact's word, its owner's, and whether a server has that already.

Functions of values; nothing here opens a file, asks an index or knows what builds an environment.
What a file says is a stranger's word: only names and versions that PEP 508 and PEP 440 know get through.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import attrs
from packaging.markers import default_environment
from packaging.requirements import InvalidRequirement
from packaging.requirements import Requirement as Parsed
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import InvalidName, canonicalize_name
from packaging.version import InvalidVersion, Version

from prism_core.environment import Requirement
from prism_core.errors import ConfigError

# The runtime's own floor, as pyproject.toml has it; and how far ahead a marker is tried.
OLDEST_PYTHON, NEWEST_PYTHON = 11, 30
_PYTHON = re.compile(r"3\.[0-9]{1,2}(\.[0-9]{1,2})?")
# Longer than any that an index has; a file may say megabytes.
_LONGEST = 200
# On one distribution; whether a thousand can be true together takes seconds to tell.
_MOST_CONDITIONS = 40
OWNER = "named by its owner"
# Other distributions of the same modules, in the same versions: whoever has or names one of these needs not
# the first.
_TWINS = {
    "onnxruntime": ("onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml"),
    "xgboost": ("xgboost-cpu",),
}


@attrs.frozen
class Needs:
    """What an environment is resolved from.

    Parameters
    ----------
    requirements
        One for each distribution, by name, each with its reason.
    python
        A version such as ``3.12``, a range such as ``>=3.11,<3.13``, or "" for the server's.
    notes
        What the owner should know of how they came about, a sentence each.
    """

    requirements: tuple[Requirement, ...] = ()
    python: str = ""
    notes: tuple[str, ...] = ()


def needed(
    artifact: Iterable[Requirement], owners: Iterable[str] = (), python: str = "", *, by: str = OWNER
) -> Needs:
    """Return what a model needs: its owner's word for every name that it has, else the artifact's.

    Parameters
    ----------
    artifact
        What the artifact says. What is no name or no version in it is left out, and told.
    owners
        As PEP 508 writes them. Those whose marker does not hold for ``python`` are left out.
    python
        The owner's wish, "" for the server's.
    by
        Who the owner is, as a reason.

    Raises
    ------
    ConfigError
        If the owner's word cannot be understood, contradicts itself, or names a file or an address.
    """
    python = checked_python(python)
    notes: list[str] = []
    said = _joined(_proper(artifact, notes), notes)
    owned = _owned(owners, python, by)
    for name, one in said.items():
        same = [owned[other] for other in (name, *_TWINS.get(name, ())) if other in owned]
        notes += [note for other in same for note in _difference(one, other)]
        if not same:
            owned[name] = one
    return Needs(tuple(owned[name] for name in sorted(owned)), python, tuple(sorted(notes)))


def satisfied(needs: Needs, installed: Mapping[str, str], python_version: str) -> tuple[str, ...]:
    """Return why an environment is not enough for ``needs``, a sentence each; () if it is.

    Parameters
    ----------
    installed
        Version by distribution, of an environment that exists.
    python_version
        Of its interpreter, ``3.11.7``.
    """
    missing = [_missing(one, installed) for one in needs.requirements if one.strict]
    if not fits(needs.python, python_version):
        missing.insert(0, f"Python {needs.python} is wanted; there it is {python_version}")
    return tuple(filter(None, missing))


def _missing(wanted: Requirement, installed: Mapping[str, str]) -> str:
    names = (wanted.name, *_TWINS.get(wanted.name, ()))
    version = next((installed[name] for name in names if name in installed), "")
    if not version:
        return f"{wanted.pep508} is wanted, which is not installed there"
    if wanted.extras:  # nobody writes down with which an installed one was asked for
        return f"{wanted.pep508} is wanted, and what its extras bring is not known of an installed one"
    right = not wanted.specifier or _holds(wanted.specifier, version)
    return "" if right else f"{wanted.pep508} is wanted; there it is {version}"


def _holds(specifier: str, version: str) -> bool:
    try:
        return SpecifierSet(specifier).contains(Version(version), prereleases=True)
    except (InvalidSpecifier, InvalidVersion):
        return False


# --- Python ----------------------------------------------------------------------------------


def checked_python(python: str) -> str:
    """Return a wish for Python as it is compared and resolved.

    Raises
    ------
    ConfigError
        If it is no version of Python 3 and no range of some, or if the runtime works on none of them.
    """
    text = python.strip()
    if text and not _PYTHON.fullmatch(text):
        text = _range(text)
    if text and assumed_python(text) is None:
        raise ConfigError(
            f"Python {text!r} is asked for; the runtime needs 3.{OLDEST_PYTHON} or newer.",
            hint="Train and save the model with a newer Python, or leave the version to the server.",
        )
    return text


def _range(text: str) -> str:
    try:
        return _versions(text)
    except InvalidSpecifier:
        raise ConfigError(
            f"{text[:_LONGEST]!r} is no version of Python.", hint="Write it as 3.12, or as '>=3.11,<3.13'."
        ) from None


def fits(python: str, version: str) -> bool:
    """Tell whether ``version`` is what ``python`` asks for: "" is any, ``3.12`` every 3.12."""
    if not python:
        return True
    return _holds(f"=={python}.*" if _PYTHON.fullmatch(python) else python, version)


def assumed_python(python: str) -> str | None:
    """Return a version for which ``python`` holds, the newest known to hold; None if the runtime has none."""
    if _PYTHON.fullmatch(python):
        return python if int(python.split(".")[1]) >= OLDEST_PYTHON else None
    here = default_environment()["python_full_version"]
    if fits(python, here):
        return here
    minors = (f"3.{minor}.{patch}" for minor in range(OLDEST_PYTHON, NEWEST_PYTHON) for patch in (0, 99))
    return next((version for version in minors if fits(python, version)), None)


# --- the artifact's word -----------------------------------------------------------------------


def _proper(artifact: Iterable[Requirement], notes: list[str]) -> list[Requirement]:
    """Return what is a name and a range of versions; tell of the rest."""
    found = []
    for one in artifact:
        try:
            found.append(attrs.evolve(one, name=_name(one.name), specifier=_versions(one.specifier)))
        except (InvalidName, InvalidSpecifier):
            said = f"{one.name[:40]!r} {one.specifier[:40]!r}"
            notes.append(f"The artifact asks for {said}, which is no distribution and version; left out.")
    return found


def _name(name: str) -> str:
    if len(name) > _LONGEST:
        raise InvalidName(name[:40])
    return canonicalize_name(name, validate=True)


def _versions(specifier: str) -> str:
    if len(specifier) > _LONGEST or not specifier.isascii() or "===" in specifier:
        raise InvalidSpecifier(specifier[:40])
    return str(SpecifierSet(specifier))


def _joined(requirements: Iterable[Requirement], notes: list[str]) -> dict[str, Requirement]:
    """Return one for each name: all that is said of it, where that can be true together."""
    joined: dict[str, Requirement] = {}
    for one in requirements:
        other = joined.get(one.name)
        joined[one.name] = one if other is None else _both(other, one, notes)
    return joined


def _both(first: Requirement, second: Requirement, notes: list[str]) -> Requirement:
    together = SpecifierSet(",".join(filter(None, (first.specifier, second.specifier))))
    if together.is_unsatisfiable():
        kept, left = (second, first) if second.strict > first.strict else (first, second)
        notes.append(f"The artifact asks for {left.pep508} and for {kept.pep508}; the latter is taken.")
        return kept
    reasons = dict.fromkeys(filter(None, (first.reason, second.reason)))
    return attrs.evolve(
        first,
        specifier=str(together),
        extras=tuple(sorted({*first.extras, *second.extras})),
        reason="; ".join(reasons),
        strict=first.strict or second.strict,
    )


# --- the owner's word --------------------------------------------------------------------------


def _owned(owners: Iterable[str], python: str, by: str) -> dict[str, Requirement]:
    parsed: dict[str, list[Parsed]] = {}
    target = _environment(python)
    for one in map(parsed_requirement, owners):
        if one.marker is None or one.marker.evaluate(target):
            parsed.setdefault(canonicalize_name(one.name), []).append(one)
    return {name: _stated(name, several, by) for name, several in parsed.items()}


def _environment(python: str) -> dict[str, str]:
    """Return the values of markers: this machine's, under the Python that is asked for."""
    version = assumed_python(python) or ""
    minor = ".".join(version.split(".")[:2])
    full = version if version.count(".") > 1 else f"{version}.0"
    return {
        **{name: str(value) for name, value in default_environment().items()},
        "python_version": minor,
        "python_full_version": full,
        "implementation_version": full,
    }


def _stated(name: str, several: list[Parsed], by: str) -> Requirement:
    """Return everything that was stated about one distribution."""
    together = SpecifierSet(",".join(filter(None, (str(one.specifier) for one in several))))
    if len(together) > _MOST_CONDITIONS:
        raise ConfigError(f"The requirements say {len(together)} things about {name}: too many to compare.")
    if together.is_unsatisfiable():
        raise ConfigError(
            f"The requirements ask for {name}{together}, which no version can be.",
            hint=f"Keep one of the lines about {name}.",
        )
    extras = sorted({canonicalize_name(extra) for one in several for extra in one.extras})
    return Requirement(name, str(together), by, extras=tuple(extras))


def parsed_requirement(text: str) -> Parsed:
    """Parse one requirement.

    Raises
    ------
    ConfigError
        If it is none, or one that is installed from a file, an address or a repository.
    """
    hint = "Write a name of the package index and versions: scikit-learn==1.5.2."
    shown = repr(text[:_LONGEST])
    try:
        found = Parsed(text)
    except InvalidRequirement as error:
        first = str(error).split("\n", 1)[0]
        raise ConfigError(f"{shown} is no requirement: {first}.", hint=hint) from None
    if found.url:
        raise ConfigError(f"{shown} is installed from an address; only packages of an index are.", hint=hint)
    if "===" in str(found.specifier):
        raise ConfigError(f"{shown} compares versions as texts.", hint="Write == for ===.")
    return found


def _difference(said: Requirement, owned: Requirement) -> list[str]:
    """Return what to tell where an artifact was made with what its owner does not want."""
    exact = said.specifier.removeprefix("==") if said.specifier.startswith("==") else ""
    if not exact or "*" in exact or "," in exact or _holds(owned.specifier, exact):
        return []
    return [
        f"The model was made with {said.name} {exact}; {owned.pep508} is {owned.reason}: answers may "
        "differ, or it may not load."
    ]
