"""What commands print: tables and lines for people, one line of JSON for programs."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any

import rich_click as click

from prism_core.sizes import format_bytes

# Wider than any table; a table is as wide as its cells.
MAX_WIDTH = 10_000

COLOURS = {"READY": "green", "STARTING": "yellow", "DRAINING": "yellow", "FAILED": "red"}


def write_json(value: Any) -> None:
    """Write ``value`` as one line of JSON on stdout."""
    sys.stdout.write(json.dumps(value, default=str) + "\n")
    sys.stdout.flush()


def write_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, fold: bool = False) -> None:
    """Write a table; cells may hold rich markup.

    Lines are as long as they are, so that a URL can be copied; with ``fold`` cells are
    folded to the width of the terminal.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", show_header=any(columns))
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console = Console(highlight=False)
    if not (fold and console.is_terminal):
        console = Console(highlight=False, width=MAX_WIDTH)
    console.print(table, soft_wrap=True)


def escaped(text: object) -> str:
    """Return ``text`` so that rich takes none of it for markup."""
    from rich.markup import escape

    return escape(str(text))


def state_text(state: str) -> str:
    """Return a version's state in its colour."""
    colour = COLOURS.get(state, "dim")
    return f"[{colour}]{state}[/]"


def ago(moment: float) -> str:
    """Return how long ``moment`` (unix seconds) is past: ``3 min ago``."""
    passed = max(0.0, time.time() - moment)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if passed >= length:
            return f"{passed // length:.0f} {unit} ago"
    return "just now"


def warn(message: str) -> None:
    """Write a warning on stderr."""
    click.secho("Warning: ", fg="yellow", bold=True, nl=False, err=True)
    click.echo(message, err=True)


def memory_text(size: int | None) -> str:
    """Return memory for people, "-" where it was not measured."""
    return format_bytes(size) if size else "-"


def replicas_text(replicas: Sequence[dict[str, Any]]) -> tuple[str, str]:
    """Return how many replicas are ready, and their memory together."""
    ready = sum(replica.get("state") == "READY" for replica in replicas)
    memory = sum(replica.get("memory_bytes") or 0 for replica in replicas)
    count = str(ready) if ready == len(replicas) else f"{ready} of {len(replicas)}"
    return count, memory_text(memory)
