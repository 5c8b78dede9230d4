"""The features of a request, as rules may ask for them: the first row of a JSON body, by name.

Bodies as a runtime reads them (`prism_core.inputs.json_in`), as far as they name what they hold: records, one
record, columns, or pandas' split orient, bare or under ``input``. A gateway does not know the model's
columns, so rows without names have none here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

JSON = "application/json"
# A larger body is not read for a rule: it would hold up all other requests for a millisecond or more.
LARGEST_BYTES = 256 * 1024

_WRAPPED = ("input", "inputs", "instances")


class NoFeatures(Exception):
    """Why a request has no features, in a word: it becomes a label of a metric."""


def features_of(media_type: str, body: bytes | memoryview) -> Mapping[str, Any]:
    """Return the values of a body's first row by their names.

    Raises
    ------
    NoFeatures
        If there are none: ``media_type``, ``too_large``, ``not_json``, ``no_names``, or ``no_rows``.
    """
    if media_type.partition(";")[0].strip().lower() not in ("", JSON):
        raise NoFeatures("media_type")
    if len(body) > LARGEST_BYTES:
        raise NoFeatures("too_large")
    try:
        said = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise NoFeatures("not_json") from None
    return _first_row(_unwrapped(said))


def _unwrapped(said: Any) -> Any:
    if isinstance(said, dict):
        for key in _WRAPPED:
            if key in said:
                return said[key]
    return said


def _first_row(value: Any) -> Mapping[str, Any]:
    if isinstance(value, list):
        return _record(_first(value))
    columns = _record(value)
    names, rows = columns.get("columns"), columns.get("data")
    if isinstance(names, list) and isinstance(rows, list):
        return _record(dict(zip(map(str, names), _values(_first(rows)), strict=False)))
    if any(isinstance(values, list) for values in columns.values()):
        return {name: _first(values) for name, values in columns.items() if isinstance(values, list)}
    return columns


def _first(values: list[Any]) -> Any:
    if not values:
        raise NoFeatures("no_rows")
    return values[0]


def _values(row: Any) -> list[Any]:
    return row if isinstance(row, list) else [row]


def _record(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise NoFeatures("no_names")
    return value
