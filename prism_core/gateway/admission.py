"""Whether an artifact is let in: inspectors, options, and whether it has been here before."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs
import msgspec
import structlog

from prism_core.environments.beside import asked_by_trust
from prism_core.environments.mlflow import asked
from prism_core.environments.needs import Needs
from prism_core.errors import ArtifactError, ConfigError, UnsafeArtifact
from prism_core.gateway.views import UploadRequest
from prism_core.manifest import Manifest
from prism_core.plugins import PluginSet
from prism_core.specs import Artifact, Finding, Loader, Severity

log = structlog.get_logger("prism.deploy")

# What every upload and every entry of `models` may say beside its options.
OF_EVERY_MODEL = ("alias", "isolation", "loader", "name", "optimize", "replicas", "threads")


def inspect(
    plugins: PluginSet, artifact: Artifact, loader: Loader, trust: tuple[str, ...] = ()
) -> tuple[str, ...]:
    """Ask every inspector about an artifact; return the warnings.

    Raises
    ------
    UnsafeArtifact
        If one blocks; an inspector that fails blocks too.
    ArtifactError
        If one raises it.
    """
    findings: list[Finding] = []
    for implementation in plugins.hooks.prism_inspect_artifact.get_hookimpls():
        try:
            # One at a time and not through the hook, so that a failure has a name.
            arguments = {"artifact": artifact, "loader": loader, "trust": trust}
            findings += implementation.function(*(arguments[name] for name in implementation.argnames)) or ()
        except ArtifactError:
            raise
        except Exception as error:
            log.exception("inspector.failed", plugin=implementation.plugin_name)
            text = f"Inspector {implementation.plugin_name!r} failed: {type(error).__name__}: {error}"
            findings.append(Finding(Severity.BLOCK, text, hint="Repair or uninstall the plugin."))
    blocking = [f for f in findings if f.severity is Severity.BLOCK]
    if blocking:
        raise UnsafeArtifact(
            " ".join(f.message for f in blocking),
            hint=blocking[0].hint,
            details={"findings": [attrs.asdict(f) for f in findings]},
        )
    return tuple(f.message for f in findings if f.severity is Severity.WARNING)


def needs_of(
    artifact: Artifact,
    loader: Loader,
    request: UploadRequest,
    trust: tuple[str, ...] = (),
    known: Callable[[], Iterable[str]] = tuple,
) -> Needs:
    """Return what an artifact that was let in needs: its owner's word, else MLflow's, else its own.

    Packages of which names are trusted are needed too, as they are installed here. ``known`` yields
    the distributions that every model of the loader is given.

    Raises
    ------
    ConfigError
        If the owner's word cannot be understood.
    """
    try:
        said = tuple(loader.requirements(artifact))
    except Exception as error:  # a plugin that cannot read it all leaves it to the owner
        log.exception("requirements.failed", loader=loader.name)
        note = f"What the artifact was made with could not be read: {type(error).__name__}: {error}"
        found = asked(artifact.path, (), request.requirements, request.python)
        return attrs.evolve(found, notes=(*found.notes, note))
    said = (*said, *asked_by_trust(trust, (one.name for one in said)))
    return asked(artifact.path, said, request.requirements, request.python, known)


def admitted(
    loader: Loader, options: Mapping[str, Any], trust: tuple[str, ...]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return a version's options, and all names that are trusted for it.

    These are its `Manifest.trust`, which is written into the audit log. As the option ``trust`` of a
    loader that has one they reach the replica; said as that option they are here too.

    Raises
    ------
    ConfigError
        For a wrong option.
    """
    checked = checked_options(loader, options, trust)
    return checked, tuple(checked["trust"]) if "trust" in _known(loader) and "trust" in checked else trust


def checked_options(
    loader: Loader, options: Mapping[str, Any], trust: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Return options as the loader's class types them; text from a command line becomes numbers.

    Normalizers have options too, each under one name, for instance ``image``: a mapping that
    the loader does not know is kept for them. Trusted names become the option ``trust`` of a
    loader that has one.

    Raises
    ------
    ConfigError
        For a wrong value, or a name that the loader does not know.
    """
    known = _known(loader)
    if trust and "trust" in known:
        options = {**options, "trust": tuple(dict.fromkeys((*trust, *options.get("trust", ()))))}
    for name, value in options.items():
        if name not in known and not isinstance(value, Mapping):
            raise ConfigError(
                f"Loader {loader.name!r} has no option {name!r}.", hint=_instead_of(name, known)
            )
    try:
        typed: Any = msgspec.convert(options, loader.options, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"The options of loader {loader.name!r} are wrong: {error}.") from error
    chosen = {name: getattr(typed, name) if name in known else value for name, value in options.items()}
    # As JSON gives them back: a version must look the same before and after it was stored.
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(chosen))
    return plain


def _known(loader: Loader) -> set[str]:
    return {field.name for field in attrs.fields(loader.options)}


def _instead_of(name: str, known: set[str]) -> str:
    if close := difflib.get_close_matches(name, known, n=1):
        return f"Did you mean {close[0]!r}?"
    if close := difflib.get_close_matches(name, OF_EVERY_MODEL, n=1):
        return f"{close[0]!r} is no option of a loader: give it as --{close[0]}, or beside `options`."
    return f"It has: {', '.join(sorted(known)) or 'none'}."


def essence(manifest: Manifest, *, told: bool = True) -> Manifest:
    """Return what makes two uploads the same: all but the number, the time and what was said about it.

    What was required is in the environment that was chosen for it. ``told``: what its page says counts.
    """
    return attrs.evolve(
        manifest,
        version=0,
        created=0.0,
        artifact="",
        warnings=(),
        requirements=(),
        trust=(),
        preload=True,
        optimization=None,
        description=manifest.description if told else "",
    )
