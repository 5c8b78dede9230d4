"""The rows of a JSON body by the names of their columns: what differences are looked for in.

The forms are those of `prism_core.traffic.redacting`. What is rare, or no table, has no rows here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from prism_core.traffic.redacting import MAX_BYTES, VALUES, Layout
from prism_core.types import Signature

Scalar = str | float | bool | None
Row = dict[str, Scalar]
# Of a wide table the first columns are looked at.
MOST_FEATURES = 64
MOST_LETTERS = 80


def rows_of(body: bytes, signature: Signature) -> list[Row]:
    """Return the rows of a request; none where they cannot be read by name."""
    if len(body) > MAX_BYTES:
        return []
    try:
        document = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return []
    layout = Layout.of(signature)
    if isinstance(document, dict):
        named = [name for name in VALUES if name in document]
        if len(named) != 1:
            return []
        document = document[named[0]]
    return [_plain(row) for row in _rows(document, layout)]


def _rows(value: Any, layout: Layout) -> list[dict[str, Any]]:
    if isinstance(value, dict):
        return _by_name(value, layout)
    if not isinstance(value, list) or not value:
        return []
    if all(isinstance(one, dict) for one in value):
        tensors = all("name" in one and "data" in one for one in value)
        return _by_name({one["name"]: one["data"] for one in value}, layout) if tensors else value
    return _by_place(value, layout.row)


def _by_name(value: dict[str, Any], layout: Layout) -> list[dict[str, Any]]:
    """Return the rows of columns, of inputs, of a split table, or the one row that an object is."""
    if isinstance(value.get("columns"), list) and isinstance(value.get("data"), list):
        return _by_place(value["data"], value["columns"])
    if not any(isinstance(one, list) for one in value.values()):
        return [value]
    parts = [_by_place(one, layout.columns.get(name) or (name,)) for name, one in value.items()]
    if len({len(part) for part in parts}) != 1:
        return []
    return [{name: one for cells in row for name, one in cells.items()} for row in zip(*parts, strict=True)]


def _by_place(value: Any, names: Sequence[Any]) -> list[dict[str, Any]]:
    """Return the rows of a table, a row, or the values of a table one after the other."""
    width = len(names)
    if not isinstance(value, list) or not width:
        return []
    if any(isinstance(one, list) for one in value):
        rows = [one for one in value if isinstance(one, list) and len(one) == width]
        return [dict(zip(names, row, strict=True)) for row in rows] if len(rows) == len(value) else []
    if len(value) % width:
        return []
    return [dict(zip(names, value[at : at + width], strict=True)) for at in range(0, len(value), width)]


def _plain(row: dict[str, Any]) -> Row:
    """Return the scalars of a row; a value in brackets is the value."""
    found: Row = {}
    for name, value in row.items():
        if len(found) == MOST_FEATURES:
            break
        one = value[0] if isinstance(value, list) and len(value) == 1 else value
        if isinstance(one, str):
            found[str(name)] = one[:MOST_LETTERS]
        elif one is None or isinstance(one, bool | int | float):
            found[str(name)] = one
    return found
