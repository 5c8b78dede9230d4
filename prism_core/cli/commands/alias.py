"""``prism alias``: point a name at a version."""

from __future__ import annotations

from urllib.parse import quote

import rich_click as click

from prism_core.cli.client import admin, model_path
from prism_core.cli.models import keep_warm_option, model_argument, tell_routed, tell_warm, whole_model
from prism_core.cli.options import Common, command
from prism_core.cli.output import write_json

EXAMPLES = """
prism alias churn champion 3
prism alias churn champion 4 --keep-warm 10m
prism alias churn champion --delete
"""


@command("alias", examples=EXAMPLES)
@model_argument
@click.argument("alias")
@click.argument("version", type=click.IntRange(1), required=False)
@click.option("--delete", is_flag=True, help="Take the alias away.")
@keep_warm_option
def alias(model: str, alias: str, version: int | None, delete: bool, keep_warm_s: float | None) -> None:
    """Point an alias of a model at a version.

    It happens in one step, without a lost request. The version is then served at /model/MODEL@ALIAS/predict.
    """
    if delete == (version is not None):
        raise click.UsageError("Give a VERSION to point at, or --delete.")
    body = {"version": version, "keep_warm_s": keep_warm_s or 0.0}
    path = f"{model_path(whole_model(model))}/aliases/{quote(alias, safe='')}"
    with admin() as client:
        found = client.call("DELETE", path) if delete else client.call("PUT", path, body=body)
    if Common.of().json:
        write_json(found)
    else:
        click.echo(f"{model}@{alias} is gone." if delete else f"{model}@{alias} is version {version}.")
        tell_warm(found["versions"] if keep_warm_s else [])
        if alias == "latest":
            tell_routed(found)
