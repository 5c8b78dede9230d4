"""``prism remove``: delete a model or one version of it."""

from __future__ import annotations

import sys

import rich_click as click
from click.exceptions import Exit

from prism_core.cli import EXIT_FAILED
from prism_core.cli.client import admin, model_path, parse_reference
from prism_core.cli.models import model_argument, version_option
from prism_core.cli.options import Common, command
from prism_core.cli.output import write_json

EXAMPLES = """
prism remove churn/2
prism remove churn --yes
"""


@command("remove", examples=EXAMPLES)
@model_argument
@version_option
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def remove(model: str, version: int | None, yes: bool) -> None:
    """Remove a model with all its versions, or one.

    It cannot be undone.
    """
    with admin() as client:
        name, asked, alias = parse_reference(model)
        if alias:
            name, asked = client.resolve(model)
        asked = version or asked
        what = f"version {asked} of {name}" if asked else f"{name} with all its versions"
        if not yes and not Common.of().json and sys.stdin.isatty():
            client.version(name, asked) if asked else client.model(name)  # do not ask about what is not there
            if not click.confirm(f"Remove {what}?"):
                raise Exit(EXIT_FAILED)
        path = f"{model_path(name)}/versions/{asked}" if asked else model_path(name)
        found = client.call("DELETE", path)
    if Common.of().json:
        write_json(found)
    else:
        click.echo(f"Removed {what}.")
