"""``prism env``: the packages that models run with, and why they are there."""

from __future__ import annotations

from typing import Any

import rich_click as click

from prism_core.cli.client import admin, model_path
from prism_core.cli.models import complete_models, version_option
from prism_core.cli.options import Common, command
from prism_core.cli.output import escaped, write_json, write_table
from prism_core.sizes import format_bytes

COLUMNS = ("ENVIRONMENT", "PYTHON", "PACKAGES", "OWN", "SHARED", "VERSIONS")

EXAMPLES = """
prism env
prism env churn --explain
prism env churn/2 --json
prism env --prune
"""


@command("env", examples=EXAMPLES)
@click.argument("model", required=False, shell_complete=complete_models)
@version_option
@click.option("--explain", is_flag=True, help="Say of each package why it is there.")
@click.option("--prune", is_flag=True, help="Remove environments that no version has.")
def env(model: str | None, version: int | None, explain: bool, prune: bool) -> None:
    """Show the packages that models run with.

    Without MODEL all environments, with what they take on disk: their own bytes, and those that they
    share with others. MODEL is churn (its latest version), churn/3 or churn@champion.
    """
    if model and prune:
        raise click.UsageError("--prune looks at all environments; leave MODEL out.")
    if not model and (explain or version):
        raise click.UsageError("Name a MODEL.")
    with admin() as client:
        if model:
            name, number = client.resolve(model, version)
            _show(client.call("GET", f"{model_path(name)}/versions/{number}/environment"), explain)
        elif prune:
            _tell_removed(client.call("POST", "/environments/prune"))
        else:
            _list(client.call("GET", "/environments")["environments"])


def _list(found: list[dict[str, Any]]) -> None:
    if Common.of().json:
        write_json(found)
    elif not found:
        click.echo("There are no environments yet: no model has been uploaded.")
    else:
        write_table(COLUMNS, [_row(one) for one in found])


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    key = "the server's own" if one["key"] == "server" else one["key"]
    problem = f" [red]{escaped(one['problem'])}[/]" if one["problem"] else ""
    sizes = [format_bytes(one[size]) if one[size] else "-" for size in ("size_bytes", "shared_bytes")]
    versions = escaped(", ".join(one["versions"])) or "[dim]none; --prune removes it[/]"
    return f"{escaped(key)}{problem}", one["python_version"], str(one["packages"]), *sizes, versions


def _show(found: dict[str, Any], explain: bool) -> None:
    if Common.of().json:
        write_json(found)
        return
    name = "the server's own environment" if found["key"] == "server" else f"environment {found['key']}"
    click.echo(f"{found['model']}/{found['version']} runs in {name}, with Python {found['python_version']}.")
    if found["requirements"]:
        click.echo("It asks for:")
        write_table(("", ""), [_requirement(one) for one in found["requirements"]])
    columns = ("PACKAGE", "VERSION", "WHY") if explain else ("PACKAGE", "VERSION")
    write_table(columns, [_pin(pin)[: len(columns)] for pin in found["pins"]])


def _requirement(one: dict[str, Any]) -> tuple[str, str]:
    wish = "" if one["strict"] else " [dim](if that can be had)[/]"
    return f"[bold]{escaped(one['requirement'])}[/]{wish}", escaped(one["reason"])


def _pin(pin: dict[str, Any]) -> tuple[str, str, str]:
    return escaped(pin["name"]), escaped(pin["version"]), escaped(pin["reason"])


def _tell_removed(found: dict[str, Any]) -> None:
    if Common.of().json:
        write_json(found)
    else:
        click.echo(f"Removed {', '.join(found['removed'])}." if found["removed"] else "Nothing to remove.")
