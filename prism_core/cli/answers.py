"""Print a prediction: a table of rows for people, the answer's own bytes for programs."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import rich_click as click

from prism_core.cli.output import escaped, warn, write_table

if TYPE_CHECKING:
    import httpx

# Beyond this a table is no longer read; --json has all rows.
MAX_ROWS = 50
MAX_CELL = 60


def write_answer(response: httpx.Response, *, as_json: bool) -> None:
    """Print the body of ``response``."""
    is_json = response.headers.get("content-type", "").startswith("application/json")
    if as_json or not is_json:
        sys.stdout.buffer.write(response.content)
        if is_json and not response.content.endswith(b"\n"):
            sys.stdout.buffer.write(b"\n")
        sys.stdout.buffer.flush()
        return
    answer = response.json()
    write_table(*_table(answer))
    for warning in answer.get("warnings", ()):
        warn(warning)
    click.secho(_footer(answer, response.headers), dim=True, err=True)


def _table(answer: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return columns and rows; probabilities get a column for each class."""
    outputs = {
        key: value for key, value in answer.items() if key not in ("model", "version", "classes", "warnings")
    }
    outputs = {key: value if isinstance(value, list) else [value] for key, value in outputs.items()}
    columns: dict[str, list[Any]] = {}
    for key, values in outputs.items():
        classes = answer.get("classes") if key == "probabilities" else None
        if classes and values and isinstance(values[0], list) and len(values[0]) == len(classes):
            columns |= {f"P({label})": [row[place] for row in values] for place, label in enumerate(classes)}
        else:
            columns[key] = values
    count = max((len(values) for values in columns.values()), default=0)
    shown = range(min(count, MAX_ROWS))
    rows = [[str(row), *(_cell(values, row) for values in columns.values())] for row in shown]
    if count > MAX_ROWS:
        rows.append(["...", f"[dim]{count - MAX_ROWS} more; --json shows all[/]", *[""] * (len(columns) - 1)])
    return ["ROW", *(escaped(name) for name in columns)], rows


def _cell(values: list[Any], row: int) -> str:
    if row >= len(values):
        return ""
    value = values[row]
    if isinstance(value, float):
        return f"{value:.6g}"
    text = value if isinstance(value, str) else json.dumps(value)
    return escaped(text if len(text) <= MAX_CELL else f"{text[: MAX_CELL - 3]}...")


def _footer(answer: dict[str, Any], headers: Any) -> str:
    parts = [f"{answer.get('model')} version {answer.get('version')}"]
    if timing := headers.get("server-timing"):
        parts.append(_timing(timing))
    if cache := headers.get("x-prism-cache"):
        parts.append(f"cache {cache}")
    return ", ".join(parts)


def _timing(header: str) -> str:
    found = []
    for entry in header.split(","):
        name, _, duration = entry.strip().partition(";dur=")
        if duration:
            found.append(f"{name} {duration} ms")
    return ", ".join(found)
