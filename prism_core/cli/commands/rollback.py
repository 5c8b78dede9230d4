"""``prism rollback``: back to the version before."""

from __future__ import annotations

import rich_click as click

from prism_core.cli.client import admin, model_path
from prism_core.cli.models import model_argument
from prism_core.cli.options import Common, command
from prism_core.cli.output import write_json

EXAMPLES = """
prism rollback churn
"""


@command("rollback", examples=EXAMPLES)
@model_argument
def rollback(model: str) -> None:
    """Serve the version before the latest one again, at once."""
    with admin() as client:
        found = client.call("POST", f"{model_path(model)}/rollback")
    if Common.of().json:
        write_json(found)
    else:
        click.echo(f"{found['model']} is version {found['version']} again: {found['url']}")
