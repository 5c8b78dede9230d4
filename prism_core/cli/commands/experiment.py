"""``prism experiment``: which version of a split is better, as far as that is known."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import rich_click as click

from prism_core.cli.client import AdminClient, admin, model_path
from prism_core.cli.models import model_argument, whole_model
from prism_core.cli.options import Common, command
from prism_core.cli.output import ago, escaped, write_json, write_table

EXAMPLES = """
prism experiment churn
prism experiment churn --watch
prism experiment churn --restart
"""

WATCH_S = 2.0
COLUMNS = ("METRIC", "VERSION", "N", "VALUE", "DIFFERENCE", "INTERVAL", "VERDICT")
COLOURS = {"better": "green", "worse": "red", "mixed": "yellow", "same": "cyan"}


@command("experiment", examples=EXAMPLES)
@model_argument
@click.option("--watch", is_flag=True, help=f"Show it again every {WATCH_S:.0f} s, until Ctrl-C.")
@click.option("--restart", is_flag=True, help="Forget what was added up, and begin anew.")
def experiment(model: str, watch: bool, restart: bool) -> None:
    """Compare the versions among which a model's traffic is split.

    Looking is free: the verdict is wrong with the probability that the route allows (5 % by default),
    however often it is asked for.
    """
    path = f"{model_path(whole_model(model))}/experiment"
    with admin() as client:
        if restart:
            client.call("DELETE", path)
        for found in _found(client, path, watch):
            if watch and not Common.of().json:
                click.clear()
            _write(found)


def _found(client: AdminClient, path: str, watch: bool) -> Iterator[Any]:
    yield client.call("GET", path)
    while watch:
        time.sleep(WATCH_S)
        yield client.call("GET", path)


def _write(found: Any) -> None:
    if Common.of().json:
        write_json(found)
        return
    if found["control"]:
        _write_lines(found)
    else:
        click.echo(found["says"])
    _write_guard(found)


def _write_lines(found: Any) -> None:
    names = {one["arm"]: one["name"] for one in found["arms"]}
    control = names[found["control"]]
    shares = ", ".join(f"{one['name']} has {one['percent']:g}%" for one in found["arms"])
    certain = 100 * (1 - found["alpha"])
    click.echo(
        f"{found['model']}: compared with {control}, begun {ago(found['begun'])}; {shares}. "
        f"All of it is certain at {certain:g}%."
    )
    write_table(COLUMNS, [_row(line, names) for line in found["lines"]])
    for line in found["lines"]:
        click.echo(f"{line['metric']}: {line['says']}")
    click.echo()
    for one in found["verdicts"]:
        click.secho(one["says"], bold=True, fg=COLOURS.get(one["verdict"]))
        if one["next"]:
            click.echo(f"Next: {one['next']}")


def _row(line: Any, names: dict[str, str]) -> tuple[str, ...]:
    shown = _latency if line["metric"] == "latency" else _rate
    value, control, difference, low, high = (
        "-" if line[key] is None else text(line[key])
        for key, text in zip(("value", "control_value", "difference", "low", "high"), shown, strict=True)
    )
    colour = COLOURS.get(line["verdict"], "dim")
    return (
        line["metric"],
        escaped(names[line["arm"]]),
        f"{line['n']:,} beside {line['control_n']:,}",
        f"{value} beside {control}",
        difference,
        f"{low} to {high}" if low != "-" else "-",
        f"[{colour}]{line['verdict']}[/]",
    )


def _ms(value: float) -> str:
    return f"{1000 * value:.3g} ms"


def _percent(value: float) -> str:
    return f"{100 * value:.2f}%"


def _longer(value: float) -> str:
    return f"{100 * value:+.1f}%"


def _points(value: float) -> str:
    return f"{100 * value:+.2f} points"


_latency = (_ms, _ms, _longer, _longer, _longer)
_rate = (_percent, _percent, _points, _points, _points)


def _write_guard(found: Any) -> None:
    guard, removed = found["guard"], found["removed"]
    if removed:
        click.secho(f"The guard has changed the route {ago(removed['at'])}: {removed['why']}", fg="yellow")
        click.echo(f"Next: prism undo {found['model']}   # only if you know better")
    elif guard and found["control"]:
        watched = ", ".join(guard["metrics"])
        click.echo(f"The guard watches {watched}; it errs with a probability of {100 * guard['alpha']:g}%.")
