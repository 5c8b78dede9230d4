"""The environments of a data directory, as its server has written them down."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from prism_core.plugin import CommandLine, Environment, EnvironmentFailed, ModelNotFound
from prism_podman.images.selection import SERVER


def recipes(data: Path) -> Iterator[Environment]:
    """Yield every environment that has a recipe."""
    for path in sorted((data / "environments").glob("*.json")):
        found = _read(path)
        if found:
            yield found


def recipe(data: Path, key: str) -> Environment:
    """Return the environment ``key``.

    Raises
    ------
    EnvironmentFailed
        If there is none.
    """
    path = data / "environments" / f"{key}.json"
    found = _read(path) if path.parent == data / "environments" else None
    if found is None:
        known = ", ".join(sorted(one.stem for one in path.parent.glob("*.json"))) or "none"
        raise EnvironmentFailed(f"There is no environment {key!r} in {data}.", hint=f"There are: {known}.")
    return found


def _read(path: Path) -> Environment | None:
    try:
        return Environment.from_json(path.read_bytes())
    except (OSError, ValueError):  # gone meanwhile, or no recipe
        return None


def recipe_of(cli: CommandLine, reference: str) -> Environment:
    """Return the environment of ``churn``, ``churn/3`` or ``churn@champion``, as the running server has it.

    Raises
    ------
    PrismError
        If no server runs, or there is no such model.
    """
    path = f"/models/{quote(name_in(reference), safe='')}"
    version = found_version(cli.admin("GET", path), reference)
    if version["environment"] != SERVER:
        return recipe(cli.data_dir, version["environment"])
    said = cli.admin("GET", f"{path}/versions/{version['version']}/environment")
    return servers(recipes(cli.data_dir), {(pin["name"], pin["version"]) for pin in said["pins"]})


def name_in(reference: str) -> str:
    """Return the model's name in a reference."""
    return reference.partition("@")[0].partition("/")[0]


def found_version(model: Mapping[str, Any], reference: str) -> dict[str, Any]:
    """Return the version that a reference means; ``latest`` where it names none.

    Raises
    ------
    ModelNotFound
        If there is no such version or alias.
    """
    _, _, alias = reference.partition("@")
    number = reference.partition("@")[0].partition("/")[2]
    wanted = number or str(model["aliases"].get(alias or "latest", ""))
    found: dict[str, Any] | None = next((v for v in model["versions"] if str(v["version"]) == wanted), None)
    if found is None:
        raise ModelNotFound(
            f"There is no {reference!r}.", hint=f"`prism show {model['model']}` lists what there is."
        )
    return found


def servers(environments: Iterable[Environment], pins: Collection[tuple[str, str]]) -> Environment:
    """Return the part of the server's own environment that has ``pins``.

    Raises
    ------
    EnvironmentFailed
        If that is in another data directory, as that of a server elsewhere is.
    """
    for one in environments:
        if one.key == SERVER and {(pin.name, pin.version) for pin in one.pins} == set(pins):
            return one
    raise EnvironmentFailed(
        "What the server has written down of its environments is not in this data directory.",
        hint="Name it with --data-dir; an image is made on the machine whose server uses it.",
    )
