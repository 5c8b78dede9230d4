"""How values are written on a page."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup, escape

from prism_core.rest.pages.filled import option
from prism_core.rest.pages.prose import html_of
from prism_core.types import TensorSpec

# As many names are read; a model may have thousands.
LISTED = 24

_WORDS = {"BOOL": "yes or no", "BYTES": "text", "FP16": "number", "FP32": "number", "FP64": "number"}


def day(seconds: float) -> str:
    """Return a day for people: 26 November 2026."""
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return f"{moment.day} {moment:%B %Y}"


def minute(seconds: float) -> str:
    """Return a minute for people: 26 November 2026 at 14:05 UTC."""
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return f"{day(seconds)} at {moment:%H:%M} UTC"


def stamp(seconds: float) -> str:
    """Return a moment for programs."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="seconds")


def number(value: float) -> str:
    """Return a number as short as it can be."""
    return f"{value:.6g}"


def milliseconds(us: int) -> str:
    """Return a time of so many microseconds."""
    return f"{us / 1000:.3g} ms" if us < 1_000_000 else f"{us / 1e6:.2f} s"


def kind(spec: TensorSpec) -> str:
    """Return what the values of a tensor are, in a word."""
    return _WORDS.get(spec.datatype, "whole number")


def name(text: str) -> Markup:
    """Return a name that may be broken behind its parts: ``monthly_`` and ``charges``."""
    return Markup("_<wbr>").join(escape(part) for part in text.split("_"))


def shape(spec: TensorSpec) -> str:
    """Return the form of a tensor: ``rows x 4``."""
    sizes = ["any" if size < 0 else str(size) for size in spec.shape]
    return " × ".join(["rows", *sizes[1:]] if sizes and sizes[0] == "any" else sizes) or "one value"


def values(spec: TensorSpec, classes: Sequence[Any] = ()) -> str:
    """Return which values a tensor holds, as far as that is known; ``classes`` are told elsewhere."""
    if classes and tuple(spec.columns) == tuple(map(str, classes)):
        return "one for each class"
    if spec.categories and spec.datatype != "BOOL":
        return _listed(spec.categories)
    sized = "" if len(spec.shape) == 1 or spec.shape[1:] == (1,) else shape(spec)
    if spec.columns:
        return f"{sized}: {_listed(spec.columns)}"
    known = spec.range_of() if len(spec.ranges) == 1 else None
    usual = f"usually {number(known[0])} to {number(known[1])}" if known else ""
    return ", ".join(one for one in (sized, usual) if one)


def _listed(names: Sequence[Any]) -> str:
    more = f", … ({len(names)} in all)" if len(names) > LISTED else ""
    return ", ".join(map(str, names[:LISTED])) + more


ALL: dict[str, Any] = {
    "day": day,
    "minute": minute,
    "stamp": stamp,
    "number": number,
    "milliseconds": milliseconds,
    "kind": kind,
    "name": name,
    "shape": shape,
    "values": values,
    "option": option,
    "markdown": html_of,
}
