"""What a file was made with: read from it without loading it, as requirements."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from prism_core.plugin import Artifact, Requirement
from prism_sklearn.audit.noticing import RELEASE, Notes, note_schema
from prism_sklearn.audit.schema import nodes
from prism_sklearn.audit.walking import noticed
from prism_sklearn.content import is_skops
from prism_sklearn.directories import file_of
from prism_sklearn.distributions import DISTRIBUTIONS
from prism_sklearn.unpacking import compression_of

_LZ4 = b"\x04\x22\x4d\x18"
# The first release of scikit-learn that was built for numpy 2 too. Earlier ones do not all say so.
_NUMPY_2 = (1, 4, 2)
_LIGHTGBM = {"2": "<2.3", "3": ">=2.3,<4", "4": ">=4,<5"}
_SHOWN = 5


def requirements(artifact: Artifact) -> Iterator[Requirement]:
    """Yield what ``artifact`` says that it was made with; nothing where it cannot be read."""
    artifact = file_of(artifact)
    notes = _noticed(artifact)
    versions = _releases(notes.sklearn)
    for package, evidence in sorted(_packages(notes).items()):
        uses = f"it uses {_clipped(evidence)}"
        if package == "sklearn":
            yield _sklearn(notes.sklearn, versions, uses)
        elif package == "numpy":
            yield _numpy(notes, versions, uses)
        elif package == "xgboost" and notes.xgboost:
            yield Requirement("xgboost", f"=={notes.xgboost}", f"its boosters say {notes.xgboost}")
        elif package == "lightgbm" and notes.lightgbm in _LIGHTGBM:
            told = f"its boosters are of format v{notes.lightgbm}"
            yield Requirement("lightgbm", _LIGHTGBM[notes.lightgbm], told)
        else:
            yield Requirement(DISTRIBUTIONS[package], reason=uses, strict=package != "joblib")
    if compression_of(artifact.head(8)) == _LZ4:
        yield Requirement("lz4", reason="it is compressed with lz4")
    if is_skops(artifact):
        yield Requirement("skops", reason="it is a skops file")


def _noticed(artifact: Artifact) -> Notes:
    if not is_skops(artifact):
        return noticed(artifact)
    notes = Notes()
    try:
        note_schema(notes, nodes(artifact))
    except Exception:  # zipfile and json have a dozen for damaged files; the audit has told of them
        return Notes()
    return notes


def _packages(notes: Notes) -> dict[str, str]:
    """Return the packages of the table that are used, each with the first name of it."""
    found: dict[str, str] = {}
    for module, evidence in notes.modules.items():
        package = module.partition(".")[0]
        if package in DISTRIBUTIONS:
            found.setdefault(package, evidence)
    if notes.sklearn:
        found.setdefault("sklearn", next(iter(notes.sklearn.values())))
    return found


def _sklearn(said: dict[str, str], versions: list[str], uses: str) -> Requirement:
    if not versions:
        odd = f", and says {_clipped(next(iter(said)))!a}, which is no release" if said else ""
        return Requirement("scikit-learn", reason=f"{uses}{odd}", strict=False)
    newest = versions[-1]
    reason = f"{_clipped(said[newest])} was saved by scikit-learn {newest}"
    if len(versions) > 1:
        others = ", ".join(versions[:-1][-_SHOWN:])
        reason += f"; parts of it by {others}, which may answer differently under {newest}"
    return Requirement("scikit-learn", f"=={newest}", reason)


def _numpy(notes: Notes, versions: list[str], uses: str) -> Requirement:
    """Return the range of numpy. Not strict: what either writes the other reads."""
    for module, specifier in (("numpy._core", ">=2"), ("numpy.core", "<2")):
        written = [one for one in notes.modules if one == module or one.startswith(f"{module}.")]
        if written:
            return Requirement("numpy", specifier, f"it uses {_clipped(written[0])}", strict=False)
    if versions and _order(versions[-1])[0] < _NUMPY_2:
        told = f"scikit-learn {versions[-1]} was built before numpy 2"
        return Requirement("numpy", "<2", told, strict=False)
    return Requirement("numpy", reason=uses, strict=False)


# --- versions ----------------------------------------------------------------------------------


def _releases(said: Iterable[str]) -> list[str]:
    """Return what is a release, the newest last."""
    return sorted((text for text in said if RELEASE.fullmatch(text)), key=_order)


def _order(release: str) -> tuple[tuple[int, ...], tuple[str, int], int]:
    numbers, pre, count, post = re.split(r"^([0-9.]+?)(?:(a|b|rc)([0-9]+))?(?:\.post([0-9]+))?$", release)[
        1:5
    ]
    # A candidate comes before its release, whose letter is therefore the last.
    return tuple(map(int, numbers.split("."))), (pre or "z", int(count or 0)), int(post or 0)


def _clipped(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."
