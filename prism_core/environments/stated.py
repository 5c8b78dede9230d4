"""What the owner of a model wrote down elsewhere: files of requirements, projects, conda's environments.

The result is PEP 508, whatever the file was. What cannot be installed from a package index, or would
choose another one, is an error that names the line; what makes no difference is told.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs

from prism_core.environments.conda import stated_by_conda
from prism_core.environments.lines import Stated, stated_by_lines, text_of
from prism_core.environments.needs import checked_python, parsed_requirement
from prism_core.errors import ConfigError


def stated(path: Path, python: str = "") -> Stated:
    """Return what a file asks for.

    Parameters
    ----------
    path
        A ``pyproject.toml``, an ``environment.yml`` or ``conda.yaml``, else lines as pip reads them.
    python
        What is said of Python elsewhere; it is taken before the file's word.

    Raises
    ------
    ConfigError
        If it cannot be read, asks for what no package index has, or for a Python that is too old.
    """
    name = path.name.lower()
    if name.endswith(".toml"):
        found = _of_project(path)
    elif name.endswith((".yml", ".yaml")):
        found = stated_by_conda(text_of(path), path)
    else:
        found = stated_by_lines(text_of(path), path)
    return attrs.evolve(found, python=_placed(path, checked_python, python or found.python))


def _of_project(path: Path) -> Stated:
    try:
        document = tomllib.loads(text_of(path))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{path.name!r} is no TOML: {error}.") from None
    project = document.get("project")
    if not isinstance(project, Mapping):
        raise ConfigError(
            f"{path.name!r} has no table [project].",
            hint="Write its dependencies into a requirements.txt: `uv export` or `poetry export` does.",
        )
    if "dependencies" in project.get("dynamic", ()):
        raise ConfigError(
            f"The dependencies of {path.name!r} are dynamic: only its build would know them.",
            hint="Write them into a requirements.txt.",
        )
    dependencies = _field(path, project, "dependencies", list) or []
    for text in dependencies:
        _placed(path, parsed_requirement, text)
    return Stated(tuple(dependencies), _field(path, project, "requires-python", str) or "")


def _field(path: Path, project: Mapping[str, Any], key: str, kind: type) -> Any:
    value = project.get(key)
    parts = value if isinstance(value, list) else []
    if (value is not None and not isinstance(value, kind)) or not all(isinstance(one, str) for one in parts):
        raise ConfigError(f"project.{key} of {path.name!r} is none that Python's packaging knows.")
    return value


def _placed(path: Path, check: Callable[[str], Any], text: str) -> Any:
    try:
        return check(text)
    except ConfigError as error:
        raise ConfigError(f"{path.name}: {error.message}", hint=error.hint) from None
