"""``prism rollback``: back to the version before."""

from __future__ import annotations

import rich_click as click

from prism_core.cli.client import admin, model_path
from prism_core.cli.models import keep_warm_option, model_argument, tell_routed, tell_warm, whole_model
from prism_core.cli.options import Common, command
from prism_core.cli.output import write_json

EXAMPLES = """
prism rollback churn
prism rollback churn --keep-warm 10m
"""


@command("rollback", examples=EXAMPLES)
@model_argument
@keep_warm_option
def rollback(model: str, keep_warm_s: float | None) -> None:
    """Serve the version before the latest one again, at once."""
    model = whole_model(model)
    with admin() as client:
        found = client.call("POST", f"{model_path(model)}/rollback", query={"keep_warm_s": keep_warm_s})
        versions = client.model(model)["versions"] if keep_warm_s else []
    if Common.of().json:
        write_json(found)
    else:
        click.echo(f"{found['model']} is version {found['version']} again: {found['url']}")
        tell_warm(versions)
        tell_routed(found)
