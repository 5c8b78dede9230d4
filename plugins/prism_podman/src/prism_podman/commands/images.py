"""``prism podman images``: what there is, how large it is, and who uses it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import rich_click as click

from prism_core.plugin import CommandLine
from prism_podman.commands.connecting import ago, megabytes, with_podman
from prism_podman.config import PodmanConfig
from prism_podman.engine import Engine
from prism_podman.images import store
from prism_podman.images.containerfile import BASE, ENVIRONMENT, KIND, PYTHON_VERSION, SERVER
from prism_podman.images.store import Stored

COLUMNS = ("Image", "Environment", "Python", "Size", "Created", "Used by")


@click.command("images")
@click.pass_obj
def images(cli: CommandLine) -> None:
    """List the images of environments and the bases below them.

    Images share layers: together they take less than the sum of their sizes.
    """

    async def look(engine: Engine, config: PodmanConfig) -> tuple[list[Stored], str]:
        return await engine.call(store.labelled), config.namespace

    found, server = with_podman(cli, look)
    users = users_of(_versions(cli))
    rows = [described(one, found, users, server) for one in sorted(found, key=lambda one: -one.created)]
    if cli.json:
        cli.write_json(rows)
    elif not rows:
        click.echo("There are no images yet. An upload with --isolation podman makes one.")
    else:
        cli.write_table(COLUMNS, [_row(one) for one in rows])


def _versions(cli: CommandLine) -> list[dict[str, Any]]:
    if not cli.running():
        return []
    found = cli.admin("GET", "/models")
    models = found["models"] if isinstance(found, dict) else found
    return [version for model in models for version in model["versions"]]


def users_of(versions: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return the versions in containers by the key of their environment."""
    users: dict[str, list[str]] = {}
    for one in versions:
        if one["isolation"] == "podman":
            users.setdefault(one.get("environment", "server"), []).append(f"{one['model']}/{one['version']}")
    return users


def described(
    image: Stored, images: Iterable[Stored], users: Mapping[str, list[str]], server: str
) -> dict[str, Any]:
    """Return what is told of an image; ``users`` are those of this ``server``."""
    kind = image.labels.get(KIND, "")
    key = image.labels.get(ENVIRONMENT, "")
    own = image.labels.get(SERVER) == server
    if kind == "base":
        used = [name_of(one) for one in images if one.labels.get(BASE) == image.id]
    else:
        used = users.get(key, []) if own and kind == "environment" else []
    return {
        "image": name_of(image),
        "id": image.id,
        "kind": kind,
        "environment": key,
        "python": image.labels.get(PYTHON_VERSION, ""),
        "size_bytes": image.size_bytes,
        "created": image.created,
        "own": own or kind != "environment",
        "used_by": used,
    }


def name_of(image: Stored) -> str:
    """Return an image's shortest name, or its id where it has none any more."""
    return min(image.tags, key=len, default=image.id[:12])


def _row(one: Mapping[str, Any]) -> tuple[str, ...]:
    several = one["kind"] == "base" and one["used_by"]
    used = f"{len(one['used_by'])} images" if several else ", ".join(one["used_by"])
    return (
        one["image"].removeprefix("localhost/"),
        one["environment"] or "(base)",
        one["python"],
        megabytes(one["size_bytes"]),
        ago(one["created"]),
        used or ("-" if one["own"] else "another server"),
    )
