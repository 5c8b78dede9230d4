"""``prism recordings``: what was recorded of requests, taken away, deleted."""

from __future__ import annotations

import os
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import rich_click as click
from click.exceptions import Exit

from prism_core.cli import EXIT_FAILED
from prism_core.cli.client import AdminClient, admin, model_path
from prism_core.cli.models import complete_models, whole_model
from prism_core.cli.options import Common, command
from prism_core.cli.output import escaped, warn, write_json, write_table
from prism_core.cli.spans import ALL, Span
from prism_core.sizes import format_bytes

COLUMNS = ("MODEL", "RECORDS", "REQUESTS", "FROM", "TO", "SIZE", "REDACTED", "DROPPED")
REASONS = {
    "busy": "the disk did not keep up",
    "large": "larger than 8 MB, or an eighth of max_size",
    "disk": "the disk could not be written",
    "not_redactable": "could not be redacted",
}

EXAMPLES = """
prism recordings
prism recordings churn --export requests.ndjson --traffic last:1h
prism recordings --delete churn
"""


@command("recordings", examples=EXAMPLES)
@click.argument("model", default="", metavar="[MODEL]", shell_complete=complete_models)
@click.option("--delete", is_flag=True, help="Remove what was recorded of MODEL.")
@click.option(
    "--export",
    "target",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write MODEL's requests to FILE, a line of JSON each.",
)
@click.option("-y", "--yes", is_flag=True, help="With --delete: do not ask.")
@click.option(
    "--traffic", type=Span(), default=ALL, help="With --export: last:24h, FROM..TO.  [default: all]"
)
def recordings(
    model: str, delete: bool, target: Path | None, yes: bool, traffic: tuple[float | None, float | None]
) -> None:
    """List what was recorded of requests.

    A model's requests are recorded where `record` in its route says so. Nobody who sent one is in a
    recording, and no answer; what is in the requests themselves is, but for what `redact` names.
    """
    if (delete or target) and not model:
        raise click.UsageError(f"{'--delete' if delete else '--export'} needs MODEL.")
    if delete and target:
        raise click.UsageError("Give --export or --delete, one at a time.")
    model = whole_model(model) if model else ""
    with admin() as client:
        if delete:
            _delete(client, model, yes)
        elif target:
            _export(client, model, target, traffic)
        else:
            _list(client, model)


def _list(client: AdminClient, model: str) -> None:
    found = (
        [client.call("GET", f"{model_path(model)}/recordings")]
        if model
        else client.call("GET", "/recordings")["recordings"]
    )
    if Common.of().json:
        write_json({"recordings": found})
    elif not found:
        click.echo("Nothing is recorded. Let a route say so: prism route MODEL --record 100")
    else:
        write_table(COLUMNS, [_row(one) for one in found])
        for one in found:
            _explain(one)


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    return (
        f"[bold]{escaped(one['model'])}[/]",
        "yes" if one["recording"] else "no",
        f"{one['requests']:,}",
        _moment(one["since"]),
        _moment(one["until"]),
        format_bytes(one["size_bytes"]),
        escaped(", ".join(one["redacted"]) or "-"),
        f"{sum(one['dropped'].values()):,}" if one["dropped"] else "-",
    )


def _explain(one: dict[str, Any]) -> None:
    for reason, number in one["dropped"].items():
        warn(f"{one['model']}: {number:,} requests were not kept: {REASONS.get(reason, reason)}.")
    if one["torn_bytes"]:
        size = format_bytes(one["torn_bytes"])
        warn(f"{one['model']}: {size} at the end of files cannot be read; a server was killed as it wrote.")


def _moment(at: float | None) -> str:
    return datetime.fromtimestamp(at).strftime("%Y-%m-%d %H:%M:%S") if at else "-"


def _delete(client: AdminClient, model: str, yes: bool) -> None:
    if not yes and not Common.of().json and sys.stdin.isatty():
        client.model(model)  # do not ask about what is not there
        if not click.confirm(f"Remove what was recorded of {model}?"):
            raise Exit(EXIT_FAILED)
    told = client.call("DELETE", f"{model_path(model)}/recordings")
    if Common.of().json:
        write_json(told)
    else:
        click.echo(f"What was recorded of {model} is removed.")


def _export(
    client: AdminClient, model: str, target: Path, traffic: tuple[float | None, float | None]
) -> None:
    since, until = traffic
    query = {name: at for name, at in (("since", since), ("until", until)) if at is not None}
    count = 0
    path = f"{model_path(model)}/recordings/requests"
    with client.stream("GET", path, params=query) as response, _private(target) as file:
        for chunk in response.iter_bytes():
            file.write(chunk)
            count += chunk.count(b"\n")
    if Common.of().json:
        write_json({"model": model, "requests": count, "file": str(target)})
    else:
        click.echo(f"{count:,} requests of {model} are in {target}.")


def _private(target: Path) -> Any:
    """Open a file that only its owner can read: it holds what callers have sent."""
    return os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
