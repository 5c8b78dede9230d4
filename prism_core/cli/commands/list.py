"""``prism list``: the models of a server."""

from __future__ import annotations

from typing import Any

import rich_click as click

from prism_core.cli.client import admin
from prism_core.cli.options import Common, command
from prism_core.cli.output import ago, escaped, replicas_text, state_text, write_json, write_table

COLUMNS = ("MODEL", "VERSION", "STATE", "ALIASES", "ROUTE", "REPLICAS", "MEMORY", "USED", "URL")
# A column that is there where a model has a route.
TRAFFIC = COLUMNS.index("ROUTE")


EXAMPLES = """
prism list
prism list --all
prism list --json
"""


@command("list", examples=EXAMPLES)
@click.option("--all", "all_versions", is_flag=True, help="Show stopped versions too.")
def list_models(all_versions: bool) -> None:
    """List the models that a server holds."""
    with admin() as client:
        models = client.models()
    if Common.of().json:
        write_json(models)
    elif not models:
        click.echo("There are no models yet. Upload one: prism upload FILE")
    else:
        table = [row for model in models for row in _rows(model, all_versions)]
        if not any(model.get("routed") for model in models):
            table = [(*row[:TRAFFIC], *row[TRAFFIC + 1 :]) for row in table]
            write_table((*COLUMNS[:TRAFFIC], *COLUMNS[TRAFFIC + 1 :]), table)
        else:
            write_table(COLUMNS, table)


def _rows(model: dict[str, Any], all_versions: bool) -> list[tuple[str, ...]]:
    versions = sorted(model["versions"], key=lambda version: -version["version"])
    shown = [version for version in versions if all_versions or version["state"] != "STOPPED"] or versions[:1]
    if not shown:
        return [
            (
                escaped(model["model"]),
                "-",
                f"[red]{escaped(model.get('error') or '-')}[/]",
                *[""] * (len(COLUMNS) - 3),
            )
        ]
    return [_row(version) for version in shown]


def _row(version: dict[str, Any]) -> tuple[str, ...]:
    replicas, memory = replicas_text(version["replicas"])
    if version["state"] == "READY" and not version["loaded"]:
        replicas = "[dim]unloaded[/]"
    return (
        f"[bold]{escaped(version['model'])}[/]",
        str(version["version"]),
        state_text(version["state"]),
        escaped(", ".join(sorted(version["aliases"]))),
        escaped(", ".join(version.get("traffic", ()))),
        replicas,
        memory,
        ago(version["last_used"]) if version["last_used"] else "-",
        escaped(version["url"]),
    )
