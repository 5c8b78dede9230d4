"""``prism export``: a version that serves itself, without a PRISM server around it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import rich_click as click

from prism_core.cli.client import admin
from prism_core.cli.exporting.exporting import Export
from prism_core.cli.models import model_argument, version_option
from prism_core.cli.options import Common, command
from prism_core.cli.output import write_json

EXAMPLES = """
prism export churn --image
prism export churn --image --tag registry.example/churn:3 -o churn.tar
prism export churn --kserve --tag registry.example/churn:3 > inferenceservice.yaml
prism export churn --containerfile build/
"""


@command("export", examples=EXAMPLES)
@model_argument
@version_option
@click.option("--image", is_flag=True, help="Build an image that serves the version on port 8080.")
@click.option("--kserve", is_flag=True, help="Write an InferenceService manifest for that image.")
@click.option(
    "--containerfile",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write what `docker build DIR`, or any other engine, needs, and build nothing.",
)
@click.option(
    "--tag", default="", metavar="NAME", help="The image's name; else localhost/prism/MODEL:VERSION."
)
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the image as an archive, or the manifest, there.",
)
@click.option("--engine", default="", metavar="NAME", help="What builds the image, where several can.")
@click.pass_obj
def export(cli: Any, /, model: str, version: int | None, **said: Any) -> None:
    """Make an image of a version, or a manifest for KServe: it answers without a PRISM server.

    MODEL is churn (its latest version), churn/3 or churn@champion.
    """
    image, kserve, directory, output = (said[n] for n in ("image", "kserve", "containerfile", "output"))
    if [image, kserve, directory is not None].count(True) != 1:
        raise click.UsageError("Say one of --image, --kserve and --containerfile DIR.")
    common = Common.of()
    with admin(common) as client:
        wish = Export(client, *client.resolve(model, version), tag=said["tag"], quiet=common.json)
        if kserve:
            _write(wish.manifest(), output, common)
        elif directory is not None:
            name = wish.context(directory)
            told = f"docker build -t {shlex.quote(name)} -f {shlex.quote(str(directory / 'Containerfile'))} "
            _tell(common, wish, told + shlex.quote(str(directory)), directory=str(directory))
        else:
            made = wish.image(said["engine"], cli, output)
            told = f"podman run --rm -p {made.port}:{made.port} {shlex.quote(made.name)}"
            _tell(common, wish, told, image=made.name, file=str(output) if output else None)


def _write(manifest: dict[str, Any], output: Path | None, common: Common) -> None:
    import yaml

    if common.json:
        write_json(manifest)
        return
    text: str = yaml.safe_dump(manifest, sort_keys=False)
    if output:
        output.write_text(text)
    else:
        click.echo(text, nl=False)


def _tell(common: Common, wish: Export, command_line: str, **facts: Any) -> None:
    if common.json:
        write_json({"model": wish.model, "version": wish.version, **facts})
    else:
        click.echo(f"{wish.model}/{wish.version} is exported. Next:\n{command_line}")
