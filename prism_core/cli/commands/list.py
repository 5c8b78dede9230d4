"""``prism list``: the models of a server."""

from __future__ import annotations

from typing import Any

import rich_click as click

from prism_core.cli.client import AdminClient, admin
from prism_core.cli.options import Common, command
from prism_core.cli.output import escaped, replicas_text, state_text, write_json, write_table

COLUMNS = ("MODEL", "VERSION", "STATE", "ALIASES", "REPLICAS", "MEMORY", "URL")


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
        for model in models:
            model["versions"] = [_measured(client, version) for version in model["versions"]]
    if Common.of().json:
        write_json(models)
    elif not models:
        click.echo("There are no models yet. Upload one: prism upload FILE")
    else:
        write_table(COLUMNS, [row for model in models for row in _rows(model, all_versions)])


def _measured(client: AdminClient, version: dict[str, Any]) -> dict[str, Any]:
    """Return the version with its replicas' memory, which only a look at the single version measures."""
    return client.version(version["model"], version["version"]) if version["replicas"] else version


def _rows(model: dict[str, Any], all_versions: bool) -> list[tuple[str, ...]]:
    versions = sorted(model["versions"], key=lambda version: -version["version"])
    shown = [version for version in versions if all_versions or version["state"] != "STOPPED"] or versions[:1]
    if not shown:
        return [
            (escaped(model["model"]), "-", f"[red]{escaped(model.get('error') or '-')}[/]", "", "", "", "")
        ]
    return [_row(version) for version in shown]


def _row(version: dict[str, Any]) -> tuple[str, ...]:
    replicas, memory = replicas_text(version["replicas"])
    return (
        f"[bold]{escaped(version['model'])}[/]",
        str(version["version"]),
        state_text(version["state"]),
        escaped(", ".join(sorted(version["aliases"]))),
        replicas,
        memory,
        escaped(version["url"]),
    )
