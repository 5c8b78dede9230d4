"""``prism freeze``: a served version as one file that another PRISM takes."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import rich_click as click

from prism_core.cli.client import admin
from prism_core.cli.exporting.fetching import download
from prism_core.cli.models import model_argument, version_option
from prism_core.cli.options import Common, command
from prism_core.cli.output import write_json
from prism_core.sizes import format_bytes

EXAMPLES = """
prism freeze churn > churn.prism
prism freeze churn@champion -o churn.prism
prism upload churn.prism          # there
"""


@command("freeze", examples=EXAMPLES)
@model_argument
@version_option
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    metavar="FILE",
    help="Write it there and not to stdout; a file that is there already is replaced.",
)
def freeze(model: str, version: int | None, output: Path | None) -> None:
    """Write a version as one file, which `prism upload` takes on another machine.

    MODEL is churn (its latest version), churn/3 or churn@champion. The file holds the
    artifact, the exact packages that it runs with, its signature and how it is served.
    """
    common = Common.of()
    if not output and (common.json or sys.stdout.isatty()):
        raise click.UsageError(f"A bundle is a file: write `prism freeze {model} -o FILE`, or redirect it.")
    with admin(common) as client:
        name, number = client.resolve(model, version)
        with _target(output) as file:
            size = download(client, name, number, file, "Freezing", quiet=common.json)
    if common.json:
        write_json({"model": name, "version": number, "file": str(output), "size_bytes": size})
    else:
        click.echo(f"{name}/{number} is frozen: {output or 'stdout'}, {format_bytes(size)}.", err=True)


@contextmanager
def _target(output: Path | None) -> Iterator[Any]:
    """Yield where to write to; a file takes its name once it is whole."""
    if output is None:
        yield sys.stdout.buffer
        return
    descriptor, name = tempfile.mkstemp(prefix=f".{output.name}.", dir=output.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, output)
    finally:
        Path(name).unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
