"""``prism podman prune``: remove what nothing uses any more, and nothing of anybody else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import rich_click as click

from prism_core.plugin import CommandLine, ConfigError
from prism_podman.commands.connecting import megabytes, with_podman
from prism_podman.commands.images import name_of
from prism_podman.commands.recipes import recipes
from prism_podman.config import PodmanConfig
from prism_podman.engine import Engine
from prism_podman.images import bases, store
from prism_podman.images.containerfile import tag_of
from prism_podman.images.ensuring import owner_of
from prism_podman.images.pruning import unwanted
from prism_podman.images.store import Stored


@attrs.frozen
class Gone:
    """An image that went, or why it stays."""

    image: Stored
    stays: str = ""


@click.command("prune")
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@click.pass_obj
def prune(cli: CommandLine, dry_run: bool) -> None:
    """Remove images of environments that no model uses, and bases that newer ones have replaced.

    Only images that this server made, known by their labels. What a running container uses stays.
    """
    data = cli.data_dir

    async def work(engine: Engine, config: PodmanConfig) -> list[Gone]:
        if not config.namespace:
            raise ConfigError(
                f"No server has used {data} yet, so no image is its own.",
                hint="Name its data directory with --data-dir.",
            )
        owner = owner_of(engine.facts)
        return await engine.call(lambda client: removed(client, config, owner, data, dry_run))

    with cli.progress("Removing images"):
        gone = with_podman(cli, work)
    if cli.json:
        cli.write_json([_facts(one) for one in gone])
    else:
        _write(gone, dry_run)


def removed(client: Any, config: PodmanConfig, owner: int, data: Path, dry_run: bool) -> list[Gone]:
    """Remove what is unwanted; return what went and what could not."""
    wanted = wanted_tags(client, config, owner, data)
    found = unwanted(store.labelled(client), config.namespace, wanted)
    return [Gone(one, "" if dry_run else store.remove(client, one.id)) for one in found]


def wanted_tags(client: Any, config: PodmanConfig, owner: int, data: Path) -> set[str]:
    """Return the names that the images of a data directory's environments have on today's bases."""
    wanted = set()
    for environment in recipes(data):
        base = bases.present(client, config.base_image, environment.python_version, owner)
        if base:
            wanted.add(tag_of(environment, base.id, config.namespace, owner))
    return wanted


def _facts(one: Gone) -> dict[str, Any]:
    return {
        "image": name_of(one.image),
        "id": one.image.id,
        "size_bytes": one.image.size_bytes,
        "stays": one.stays,
    }


def _write(gone: list[Gone], dry_run: bool) -> None:
    if not gone:
        click.echo("Nothing to remove.")
    for one in gone:
        name = name_of(one.image).removeprefix("localhost/")
        if one.stays:
            click.echo(f"{name} stays: {one.stays}", err=True)
        else:
            verb = "would be removed" if dry_run else "removed"
            click.echo(f"{name} {verb} ({megabytes(one.image.size_bytes)}).")
