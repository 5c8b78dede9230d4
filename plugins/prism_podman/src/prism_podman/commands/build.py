"""``prism podman build``: make the image of a model's environment before it is needed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import rich_click as click

from prism_core.plugin import CommandLine, Environment
from prism_podman.commands.connecting import with_podman
from prism_podman.commands.recipes import recipe, recipe_of
from prism_podman.config import PodmanConfig
from prism_podman.engine import Engine
from prism_podman.images.context import write_context
from prism_podman.images.ensuring import Image, images_of


@click.command("build")
@click.argument("model", required=False, metavar="[MODEL]")
@click.option("--environment", "key", metavar="KEY", help="An environment instead of a model's.")
@click.option(
    "--context",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Make no image: write a Containerfile and its layers there, for any program that builds.",
)
@click.pass_obj
def build(cli: CommandLine, model: str | None, key: str | None, context: Path | None) -> None:
    """Make the image of the environment of MODEL, where it is not there yet.

    An upload does that by itself. MODEL is churn, churn/3 or churn@champion.
    """
    if (model is None) == (key is None):
        raise click.UsageError("Give a model, or an environment by --environment.")
    environment = recipe(cli.data_dir, key) if key else recipe_of(cli, model or "")
    if context:
        _write(cli, environment, context)
        return
    began = time.monotonic()
    with cli.progress("Looking for the image") as tell:

        async def make(engine: Engine, config: PodmanConfig) -> Image:
            return await images_of(engine, config).ensure(environment, tell)

        made = with_podman(cli, make)
    _report(cli, environment, made, time.monotonic() - began)


def _write(cli: CommandLine, environment: Environment, directory: Path) -> None:
    base = cli.config("podman", PodmanConfig).base_image
    with cli.progress("Writing the context") as tell:
        write_context(environment, base, directory, tell)
    if cli.json:
        cli.write_json({"context": str(directory), "environment": environment.key})
    else:
        click.echo(f"{directory}/Containerfile is written. Build it there: podman build -t NAME {directory}")


def _report(cli: CommandLine, environment: Environment, made: Image, took_s: float) -> None:
    if cli.json:
        facts: dict[str, Any] = {
            "image": made.tag,
            "environment": environment.key,
            "base": made.base,
            "built": made.built,
            "took_s": round(took_s, 2),
        }
        cli.write_json(facts)
    elif made.built:
        click.echo(f"{made.tag}: {len(environment.pins)} packages on {made.base}, made in {took_s:.1f} s.")
    else:
        click.echo(f"{made.tag} is there.")
