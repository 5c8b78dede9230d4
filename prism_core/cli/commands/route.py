"""``prism route``: where the traffic of a model goes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, get_args

import rich_click as click

from prism_core.cli.client import AdminClient, admin, model_path
from prism_core.cli.models import model_argument, whole_model
from prism_core.cli.options import Common, arrange, command
from prism_core.cli.output import ago, escaped, warn, write_json, write_table
from prism_core.cli.routing.editing import edited
from prism_core.cli.routing.telling import differences, moves_text, rows, still_text
from prism_core.errors import ConfigError
from prism_core.traffic.ensemble import Combine

EXAMPLES = """
prism route churn
prism route churn --split 3=90,4=10 --sticky header:X-User-ID --fallback 3
prism route churn --split 3=50,4=50 --dry-run
prism route churn --fallback @champion --fallback 'value:{"predictions": [0]}' --timeout-ms 200
prism route churn --set guard.alpha=0.001 --unset shadow
prism route churn --file route.yaml
prism route churn --clear
prism route churn --history
"""

FALSE: dict[str, Any] = {"default": False, "is_flag": True}


@command("route", examples=EXAMPLES)
@model_argument
@click.option("--split", multiple=True, metavar="V=W,...", help="Versions and their weights: 3=90,4=10.")
@click.option(
    "--sticky", metavar="KEY", help='Who stays with a version: header:NAME, cookie[:NAME], key, address; "".'
)
@click.option(
    "--rule", "rules", multiple=True, metavar="EXPR=V", help="Asked before the split; may be repeated."
)
@click.option("--shadow", multiple=True, metavar="V=PERCENT", help="Asked too, after the answer: 5=20.")
@click.option("--fallback", multiple=True, metavar="V|value:JSON", help="Who answers then; may be repeated.")
@click.option("--timeout-ms", type=click.FloatRange(0), metavar="N", help="How long each version has.")
@click.option("--hedge", help="Ask a second replica where the first is slow.", **FALSE)
@click.option("--ensemble", multiple=True, metavar="V[=W],...", help="Versions that answer together: 3,4,rf.")
@click.option("--combine", type=click.Choice(get_args(Combine)), help="How their answers become one.")
@click.option("--need", type=click.IntRange(1), metavar="N", help="How many of them must have answered.")
@click.option("--deadline-ms", type=click.FloatRange(0), metavar="N", help="When those that have are enough.")
@click.option("--stack", metavar="V", help="What is asked with their answers, for stacking.")
@click.option("--experiment", help="Compare the shares of the split.", **FALSE)
@click.option("--guard", help="Take the traffic from a share that is worse.", **FALSE)
@click.option("--bandit", type=click.Choice(["thompson", "exp3"]), help="Learn the weights from feedback.")
@click.option(
    "--record", type=click.FloatRange(0, 100), metavar="PERCENT", help="Keep requests, to replay them."
)
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any key: guard.alpha=0.001.")
@click.option("--unset", multiple=True, metavar="KEY", help="A key as without a route: shadow.")
@click.option(
    "-f",
    "--file",
    metavar="FILE",
    type=click.Path(allow_dash=True, dir_okay=False),
    help="The whole route, as YAML or JSON; - reads stdin.",
)
@click.option("--clear", help="Take the route away: all goes to latest.", **FALSE)
@click.option("--history", help="Show how the traffic was led before.", **FALSE)
@click.option("--dry-run", help="Change nothing; show who would move.", **FALSE)
@click.option("--why", default="", metavar="TEXT", help="In words, for the history.")
def route(
    model: str, file: str | None, clear: bool, history: bool, dry_run: bool, why: str, **said: Any
) -> None:
    """Show or set where the traffic of a model's bare name goes.

    Options change the keys that they name and keep the rest of the route; --file and --clear replace it.
    A version is 3, @champion (an alias), or of another model rf, rf@champion or rf/3.
    """
    given = any(value is not None and value is not False and value != () for value in said.values())
    if given + bool(file) + clear + history > 1:
        raise click.UsageError("Give keys to change, or --file, or --clear, or --history: one of them.")
    if (dry_run or why) and not (given or file or clear):
        raise click.UsageError("Nothing is to be changed: give keys to change, or --file, or --clear.")
    model, read = whole_model(model), _read(file) if file else None
    with admin() as client:
        if history:
            _show_history(model, client.call("GET", f"{model_path(model)}/route/history"))
        elif given or file or clear:
            now = client.call("GET", f"{model_path(model)}/route") if given else {}
            wanted = None if clear else read if file else _edited(now["route"], said)
            query = {"why": why, "dry_run": "true" if dry_run else "", "revision": now.get("revision")}
            _show_change(model, _set(client, model, wanted, query), dry_run)
        else:
            _show(client.call("GET", f"{model_path(model)}/route"))


arrange(
    route,
    {
        "Options": ["file", "clear", "history", "dry_run", "why"],
        "Keys of the route": [],
    },
)


def _edited(now: dict[str, Any] | None, said: dict[str, Any]) -> dict[str, Any]:
    try:
        return edited(now, said, said["settings"], said["unset"])
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _set(client: AdminClient, model: str, wanted: Any, query: dict[str, Any]) -> dict[str, Any]:
    path = f"{model_path(model)}/route"
    if wanted is None:
        found: dict[str, Any] = client.call("DELETE", path, query=query)
    else:
        found = client.call("PUT", path, body=wanted, query=query)
    return found


def _read(file: str) -> Any:
    import yaml

    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        found = yaml.safe_load(text)
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file} is no text in UTF-8.") from error
    except yaml.MarkedYAMLError as error:
        where = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{file}{where}: {error.problem or error}.") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{file} is no YAML: {error}.") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{file} holds no route: expected keys such as `split:`.")
    return found


# --- shown -----------------------------------------------------------------------------------


def _show(info: dict[str, Any]) -> None:
    if Common.of().json:
        write_json(info)
        return
    if info["waiting"]:
        warn(f"The route of prism.yaml is not followed yet: {info['waiting']}")
    if info["route"] is None:
        click.echo(_without(info))
        click.echo(f"Lead it elsewhere: prism route {info['model']} --split 3=90,4=10")
        return
    click.echo(_head(info))
    _write_rows(info)


def _write_rows(info: dict[str, Any]) -> None:
    if lines := [tuple(map(escaped, row)) for row in rows(info)]:
        write_table(("", "", ""), lines)
    else:
        click.echo("The route says nothing: all goes to latest.")


def _without(info: dict[str, Any]) -> str:
    latest = info["aliases"].get("latest")
    means = f": it is latest, version {latest}" if latest else ", and nothing of it is served"
    return f"{info['model']} has no route{means}."


def _head(info: dict[str, Any]) -> str:
    since = f", set {ago(info['at'])} by {info['actor']}" if info["at"] else ""
    why = f": {info['why']}" if info["why"] else ""
    end = "" if info["why"].endswith((".", "!", "?")) else "."
    return f"{info['model']} goes by route {info['revision']}{since}{why}{end}"


def _show_change(model: str, info: dict[str, Any], dry_run: bool) -> None:
    if Common.of().json:
        write_json(info)
        return
    for warning in info["warnings"]:
        warn(warning)
    for line in moves_text(info["moves"], model):
        click.echo(line.replace(" moves ", " would move ") if dry_run else line)
    if dry_run:
        if not info["moves"]:
            click.echo(still_text(info["route"]))
        click.echo("Nothing was changed.")
    elif info["route"] is None:
        click.echo(_without(info))
    else:
        _write_rows(info)
        click.secho(f"`prism undo {model}` takes it back.", dim=True)


def _show_history(model: str, found: dict[str, Any]) -> None:
    if Common.of().json:
        write_json(found)
    elif not found["changes"]:
        click.echo(f"Nothing was changed of where the traffic of {model} goes.")
    else:
        write_table(("CHANGE", "WHEN", "WHO", "WHAT", "WHY"), [_history_row(one) for one in found["changes"]])


def _history_row(change: dict[str, Any]) -> tuple[str, ...]:
    what = "; ".join(differences(change["before"], change["after"]))
    return (
        str(change["seq"]),
        ago(change["at"]),
        escaped(change["actor"]),
        escaped(what) if change["stands"] else f"[dim strike]{escaped(what)}[/] [dim]taken back[/]",
        escaped(change["why"]),
    )
