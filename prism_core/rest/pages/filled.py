"""From what somebody filled in to the row that the model is asked about, and back.

Pure. A value that the field's datatype cannot hold is told at its field, and so are the faults that
the model's own process finds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import attrs
import msgspec

from prism_core.errors import PrismError
from prism_core.rest.pages.widgets import Field, Form

# The choice beside those of the model; no JSON, so no category is written so.
OTHER = "other"
# No number of a datatype needs more characters.
MAX_NUMBER = 400

_INTEGER = re.compile(r"[+-]?[0-9]+")
_REAL = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
# JSON's numbers may have more, but these are what every decoder keeps.
_SAFE = 1 << 63


class _Wrong(Exception):
    """What is wrong with a value, for people."""


@attrs.frozen
class Filled:
    """A form that was sent.

    Parameters
    ----------
    texts
        What stands in its fields, by their keys.
    errors
        What is wrong, by the same keys.
    row
        The values in the order of the fields; only where nothing is wrong.
    """

    texts: Mapping[str, str]
    errors: Mapping[str, str]
    row: tuple[Any, ...] = ()


def read(form: Form, texts: Mapping[str, str]) -> Filled:
    """Read the fields of ``form`` from what was sent."""
    row, errors = [], {}
    for field in form.fields:
        try:
            row.append(_value(field, texts))
        except _Wrong as wrong:
            errors[field.key] = str(wrong)
    return Filled(texts, errors, () if errors else tuple(row))


def body_of(form: Form, row: tuple[Any, ...]) -> dict[str, Any]:
    """Return the JSON body that asks about ``row``."""
    if form.named:
        return {"input": [{str(f.column): value for f, value in zip(form.fields, row, strict=True)}]}
    if len(form.fields[0].spec.shape) == 1:
        return {"input": list(row)}
    return {"input": [list(row)]}


def texts_of(form: Form, row: tuple[Any, ...]) -> dict[str, str]:
    """Return what a form sends of ``row``: the inverse of `read`."""
    texts: dict[str, str] = {}
    for field, value in zip(form.fields, row, strict=True):
        texts.update(_texts(field, value))
    return texts


def samples(form: Form) -> dict[str, str]:
    """Return the texts of an example."""
    return texts_of(form, tuple(field.sample for field in form.fields))


def placed(form: Form, error: PrismError) -> dict[str, str]:
    """Return the faults that ``error`` tells of columns, by the fields that they belong to."""
    keys: dict[Any, str] = {field.column: field.key for field in form.fields}
    found: dict[str, str] = {}
    for fault in error.details.get("errors", ()):
        key = keys.get(fault.get("column")) if isinstance(fault, dict) else None
        if key:
            found.setdefault(key, f"Expected {fault.get('expected')}, got {fault.get('got')}.")
    return found


def option(value: Any) -> str:
    """Return a category as the form sends it."""
    return msgspec.json.encode(value).decode()


# --- one value -------------------------------------------------------------------------------


def _value(field: Field, texts: Mapping[str, str]) -> Any:
    text = texts.get(field.key, "")
    if field.kind == "switch":
        return text != ""
    if field.kind == "choice" and text not in ("", OTHER):
        return _chosen(field, text)
    if field.kind == "choice" and text == OTHER:
        text = texts.get(f"{field.key}-{OTHER}", "")
    elif field.kind == "choice" and not field.optional:
        raise _Wrong("Choose one.")
    if text == "" and field.optional:
        return None
    if field.spec.dtype.kind == "O":
        return text.replace("\r\n", "\n")  # browsers write the ends of lines so, whatever stood there
    return _number(field, text.strip())


def _chosen(field: Field, text: str) -> Any:
    for value in field.choices:
        if option(value) == text:
            return value
    raise _Wrong("Choose one of the list.")


def _number(field: Field, text: str) -> float:
    if text == "":
        raise _Wrong("A value is needed.")
    if len(text) > MAX_NUMBER or not (_INTEGER if field.whole else _REAL).fullmatch(text):
        comma = " Decimals are written with a point." if re.fullmatch(r"[+-]?[0-9]+,[0-9]+", text) else ""
        raise _Wrong(f"This is no {'whole number' if field.whole else 'number'}.{comma}")
    if field.bounds:
        low, high = field.bounds
        if not low <= int(text) <= high:
            raise _Wrong(f"It takes whole numbers from {low} to {high}.")
        return int(text)
    # An integer stays one: whether a float holds it exactly is checked where all values are.
    exact = _INTEGER.fullmatch(text) and abs(int(text)) < _SAFE
    value = int(text) if exact else float(text)
    if not math.isfinite(value):
        raise _Wrong("No number is so large.")
    return value


def _texts(field: Field, value: Any) -> dict[str, str]:
    if field.kind == "switch":
        return {field.key: "yes"} if value else {}
    if value is None:
        return {field.key: ""}
    if field.kind == "choice":
        if value in field.choices:
            return {field.key: option(field.choices[field.choices.index(value)])}
        return {field.key: OTHER, f"{field.key}-{OTHER}": _written(value)}
    return {field.key: _written(value)}


def _written(value: Any) -> str:
    return value if isinstance(value, str) else repr(value).removesuffix(".0")
