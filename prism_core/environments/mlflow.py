"""What MLflow wrote down beside a model: in a directory with an ``MLmodel``.

Strangers upload such directories: they are read within bounds and nothing of them is executed. They say
versions of what is installed anyway; what else is installed is not for a file to choose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import attrs
from packaging.utils import canonicalize_name

from prism_core.environment import Requirement
from prism_core.environments.conda import LARGEST_YAML, parsed_yaml, stated_by_conda, without_patch
from prism_core.environments.lines import Lines, Stated, text_of
from prism_core.environments.needs import Needs, checked_python, needed, parsed_requirement
from prism_core.errors import ConfigError

MARK = "MLmodel"
BY = "written down by MLflow"
# It logs models and loads them, which is done here without it and what it needs for that: its web server and
# a hundred packages more, cloudpickle's functions as code, which are refused, and a checker of graphs.
_ITSELF = ("mlflow", "mlflow-skinny", "cloudpickle", "onnx")
_SHOWN = 10


def asked(
    path: Path,
    artifact: Iterable[Requirement],
    owners: Iterable[str] = (),
    python: str = "",
    known: Callable[[], Iterable[str]] = tuple,
) -> Needs:
    """Return what the artifact at ``path`` needs: as `needed`, and between both words that of MLflow.

    Parameters
    ----------
    known
        Yields distributions that every model of this loader is given.

    Raises
    ------
    ConfigError
        As `needed` does.
    """
    found = stated_by_mlflow(path)
    if found is None:
        return needed(artifact, owners, python)
    said, owners = tuple(artifact), tuple(owners)
    names = {*known(), *(canonicalize_name(one.name) for one in said)}
    kept = [text for text in found.requirements if _name(text) in names]
    inner = needed(said, kept, found.python, by=BY)
    whole = needed(inner.requirements, owners, python or inner.python)
    left = sorted({*map(_name, found.requirements)} - names - {*map(_name, owners)})
    notes = (*whole.notes, *inner.notes, *found.notes, *_left_out(left))
    return attrs.evolve(whole, notes=notes)


def _left_out(names: list[str]) -> Iterator[str]:
    if names:
        more = ", ..." if len(names) > _SHOWN else ""
        yield (
            f"MLflow also lists {', '.join(names[:_SHOWN])}{more}: not installed, as a file does not choose "
            "packages. If the model needs them, upload it with --requirements and that list."
        )


def _name(requirement: str) -> str:
    return canonicalize_name(parsed_requirement(requirement).name)


def stated_by_mlflow(path: Path) -> Stated | None:
    """Return what the directory of a model asks for; None where it is none of MLflow's."""
    if not _inside(path, MARK):
        return None
    found = _of_requirements(path) or _of_conda(path) or Stated()
    kept = [text for text in found.requirements if _name(text) not in _ITSELF]
    notes = list(found.notes)
    python = _python(_of_python_env(path) or found.python, notes)
    return Stated(tuple(kept), python, tuple(notes))


def _inside(directory: Path, name: str) -> Path | None:
    """Return a file of the directory, None where there is none, or one elsewhere behind a link."""
    path = directory / name
    inside = directory.is_dir() and path.is_file() and path.resolve().is_relative_to(directory.resolve())
    return path if inside else None


def _of_requirements(directory: Path) -> Stated | None:
    path = _inside(directory, "requirements.txt")
    if path is None:
        return None
    lines = Lines(tolerant=True)
    try:
        found = tuple(lines.of(_bounded(path), path))
    except ConfigError as error:
        return Stated(notes=(f"{error.message} Left out.",))
    return Stated(found, notes=tuple(lines.notes))


def _of_conda(directory: Path) -> Stated | None:
    path = _inside(directory, "conda.yaml")
    if path is None:
        return None
    try:
        return stated_by_conda(_bounded(path), path, Lines(tolerant=True))
    except ConfigError as error:
        return Stated(notes=(f"{error.message} Left out.",))


def _of_python_env(directory: Path) -> str:
    path = _inside(directory, "python_env.yaml")
    try:
        document = parsed_yaml(_bounded(path), path) if path else None
    except ConfigError:  # what it would say of Python, conda.yaml may say too
        return ""
    python = document.get("python") if isinstance(document, Mapping) else ""
    return without_patch(python) if isinstance(python, str) else ""


def _python(python: str, notes: list[str]) -> str:
    try:
        return checked_python(python)
    except ConfigError as error:
        notes.append(f"MLflow's model: {error.message} The server's is taken.")
        return ""


def _bounded(path: Path) -> str:
    if path.stat().st_size > LARGEST_YAML:
        raise ConfigError(f"{path.name!r} has more than {LARGEST_YAML:,} bytes.")
    return text_of(path)
