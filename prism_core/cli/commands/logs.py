"""``prism logs``: what a model's replicas wrote."""

from __future__ import annotations

import rich_click as click

from prism_core.cli.client import admin, model_path, parse_reference
from prism_core.cli.models import model_argument, version_option
from prism_core.cli.options import Common, command
from prism_core.cli.output import write_json

EXAMPLES = """
prism logs churn
prism logs churn -f -n 20
"""


@command("logs", examples=EXAMPLES)
@model_argument
@version_option
@click.option("-f", "--follow", is_flag=True, help="Keep on until Ctrl-C.")
@click.option(
    "-n", "--tail", default=100, show_default=True, type=click.IntRange(0), help="How many last lines."
)
def logs(model: str, version: int | None, follow: bool, tail: int) -> None:
    """Print what a model's replicas wrote."""
    as_json = Common.of().json
    with admin() as client:
        name, asked, alias = parse_reference(model)
        if alias:
            name, asked = client.resolve(model)
        query = {"tail": tail, "follow": str(follow).lower(), "version": version or asked}
        given = {key: value for key, value in query.items() if value is not None}
        with client.stream("GET", f"{model_path(name)}/logs", params=given) as response:
            for line in response.iter_lines():
                write_json({"line": line}) if as_json else click.echo(line)
