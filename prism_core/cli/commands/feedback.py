"""``prism feedback``: say what answers were worth, from a file."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import rich_click as click

from prism_core.cli.client import AdminClient, admin
from prism_core.cli.options import Common, command
from prism_core.cli.output import write_json
from prism_core.cli.progress import Progress, progress_of
from prism_core.errors import InvalidInput

EXAMPLES = """
prism feedback labels.csv              # request_id,label
prism feedback judged.ndjson           # {"request_id": "...", "reward": 0.7}
sqlite3 orders.db ... | prism feedback -
"""
COLUMNS = ("request_id", "model", "label", "labels", "reward", "correct")
# In one request: the server takes that many.
AT_ONCE = 1000
SHOWN = 10
_TRUTH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


@command("feedback", examples=EXAMPLES)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
def feedback(file: str) -> None:
    """Say what answers were worth, by their X-Request-Id.

    FILE is CSV with the columns request_id and label (or labels, reward, correct; and model), or a JSON
    object a line. Exits with 1 where something of it was refused.
    """
    items = list(read(_text(file)))
    with admin() as client, progress_of(file, len(items), quiet=Common.of().json) as progress:
        told = sent(client, items, progress)
    if Common.of().json:
        write_json(told)
    else:
        _show(told, items)
    if told["refused"]:
        raise SystemExit(1)


def _text(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{file} is no text in UTF-8.", hint="Save it as CSV in UTF-8.") from error


def sent(client: AdminClient, items: Iterable[dict[str, Any]], progress: Progress) -> dict[str, Any]:
    """Send items, as many at once as the server takes; return what came of all."""
    counts: Counter[str] = Counter(judged=0, repeated=0, refused=0)
    errors: list[dict[str, Any]] = []
    rest, done = iter(items), 0
    while some := list(islice(rest, AT_ONCE)):
        answer = client.call("POST", "/feedback", body=some)
        counts.update({name: answer[name] for name in ("judged", "repeated", "refused")})
        errors += [{**error, "index": error["index"] + done} for error in answer["errors"]]
        done += len(some)
        progress.sent(len(some))
    return {**counts, "errors": errors}


def read(text: str) -> Iterator[dict[str, Any]]:
    """Yield the items of a file.

    Raises
    ------
    InvalidInput
        Where a line is none, with its number.
    """
    if text.lstrip()[:1] == "{":
        yield from _lines(text)
        return
    rows = csv.DictReader(io.StringIO(text))
    unknown = set(rows.fieldnames or ()) - set(COLUMNS)
    if unknown or "request_id" not in (rows.fieldnames or ()):
        named = f"it has {', '.join(map(repr, sorted(unknown)))}" if unknown else "request_id is missing"
        raise InvalidInput(
            f"The first line does not name the columns of feedback: {named}.",
            hint=f"It is request_id,label; the columns that there are: {', '.join(COLUMNS)}.",
        )
    for row in rows:
        yield _item(row, rows.line_num)


def _lines(text: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            item = _json(line, number)
            if not isinstance(item, dict):
                raise InvalidInput(f"Line {number} is no JSON object.")
            yield item


def _item(row: dict[str, Any], number: int) -> dict[str, Any]:
    item: dict[str, Any] = {}
    for name, text in row.items():
        if name not in COLUMNS or text is None:
            raise InvalidInput(f"Line {number} has not as many values as there are columns.")
        if text:
            item[name] = _value(name, text, number)
    return item


def _value(name: str, text: str, number: int) -> Any:
    if name == "labels":
        return _json(text, number)
    if name == "correct" and text.lower() in _TRUTH:
        return _TRUTH[text.lower()]
    if name == "reward":
        try:
            return float(text)
        except ValueError:
            raise InvalidInput(f"Line {number}: the reward {text!r} is no number.") from None
    return text


def _json(text: str, number: int) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise InvalidInput(f"Line {number} is no JSON: {error}.") from None


def _show(told: dict[str, Any], items: list[dict[str, Any]]) -> None:
    parts = [f"{told[name]} {name}" for name in ("judged", "repeated", "refused") if told[name]]
    count = "1 item" if len(items) == 1 else f"{len(items):,} items"
    click.echo(f"{count}: {', '.join(parts) or 'nothing to do'}.")
    for error in told["errors"][:SHOWN]:
        click.echo(f"  {error['index'] + 1}. {error['detail']}", err=True)
    if told["refused"] > SHOWN:
        click.echo(f"  ... and {told['refused'] - SHOWN} more.", err=True)
    for hint in {error["hint"]: None for error in told["errors"][:SHOWN] if error["hint"]}:
        click.echo(hint, err=True)
