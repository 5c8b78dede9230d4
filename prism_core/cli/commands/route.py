"""``prism route``: where the traffic of a model goes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import rich_click as click

from prism_core.cli.client import admin, model_path
from prism_core.cli.models import model_argument
from prism_core.cli.options import Common, command
from prism_core.cli.output import write_json
from prism_core.errors import ConfigError

EXAMPLES = """
prism route churn
prism route churn --file route.yaml
prism route churn --clear
prism route churn --history
"""


@command("route", examples=EXAMPLES)
@model_argument
@click.option(
    "-f",
    "--file",
    metavar="FILE",
    type=click.Path(allow_dash=True, dir_okay=False),
    help="The whole route, as YAML or JSON; - reads stdin.",
)
@click.option("--clear", is_flag=True, help="Take the route away: all goes to latest.")
@click.option("--history", is_flag=True, help="Show how the traffic was led before.")
@click.option("--why", default="", metavar="TEXT", help="In words, for the history.")
def route(model: str, file: str | None, clear: bool, history: bool, why: str) -> None:
    """Show or set where the traffic of a model's bare name goes."""
    path = f"{model_path(model)}/route"
    with admin() as client:
        if history:
            found = client.call("GET", f"{path}/history")
        elif clear:
            found = client.call("DELETE", path, query={"why": why})
        elif file:
            found = client.call("PUT", path, body=_read(file), query={"why": why})
        else:
            found = client.call("GET", path)
    if Common.of().json:
        write_json(found)
    else:
        click.echo(json.dumps(found, indent=2))


def _read(file: str) -> Any:
    import yaml

    text = sys.stdin.read() if file == "-" else Path(file).read_text()
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{file} is no YAML: {error}") from error
