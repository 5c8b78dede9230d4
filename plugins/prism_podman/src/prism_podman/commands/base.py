"""``prism podman base``: an image to begin with, on machines that reach no registry."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import rich_click as click

from prism_core.plugin import CommandLine
from prism_podman.commands.connecting import megabytes, with_podman
from prism_podman.config import PodmanConfig
from prism_podman.engine import Engine
from prism_podman.host import debian, making
from prism_podman.images.containerfile import PYTHON_VERSION
from prism_podman.images.ensuring import owner_of
from prism_podman.images.store import Stored


@click.command("base")
@click.option("--from-host", is_flag=True, help="Of a Python of this machine, without any network.")
@click.option("--from-debootstrap", is_flag=True, help="Of Debian's packages, by mmdebstrap or debootstrap.")
@click.option(
    "--python",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="With --from-host: which Python; the one that runs PRISM.",
)
@click.option(
    "--suite", default=debian.SUITE, show_default=True, help="With --from-debootstrap: which Debian."
)
@click.option("--mirror", default="", metavar="URL", help="With --from-debootstrap: where its packages are.")
@click.pass_obj
def base(
    cli: CommandLine, from_host: bool, from_debootstrap: bool, python: Path | None, suite: str, mirror: str
) -> None:
    """Make a base image on this machine.

    Environments with the same Python, 3.11 for instance, begin with it from then on. Nothing is
    fetched from a registry.
    """
    if from_host == from_debootstrap:
        raise click.UsageError("Give one of --from-host and --from-debootstrap.")
    began = time.monotonic()
    with cli.progress("Making a base image") as tell:

        async def make(engine: Engine, config: PodmanConfig) -> tuple[Stored, PodmanConfig]:
            owner = owner_of(engine.facts)
            if from_host:
                chosen = python or Path(sys.executable)
                made = await engine.call(lambda client: making.from_host(client, chosen, owner, tell))
            else:
                made = await engine.call(
                    lambda client: debian.from_debian(client, suite, mirror, owner, tell)
                )
            return made, config

        made, config = with_podman(cli, make)
    _report(cli, made, config.base_image, time.monotonic() - began)


def _report(cli: CommandLine, made: Stored, configured: str, took_s: float) -> None:
    version = made.labels[PYTHON_VERSION]
    if cli.json:
        facts: dict[str, Any] = {
            "tags": list(made.tags),
            "id": made.id,
            "python": version,
            "size_bytes": made.size_bytes,
            "took_s": round(took_s, 2),
        }
        cli.write_json(facts)
        return
    name = min(made.tags, key=len, default=made.id)
    click.echo(f"{name}: Python {version}, {megabytes(made.size_bytes)}, made in {took_s:.1f} s.")
    if configured and configured not in made.tags:
        click.echo(f"It is not used yet: plugins.podman.base_image is {configured!r}.", err=True)
