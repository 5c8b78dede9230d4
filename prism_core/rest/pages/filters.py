"""How values are written on a page."""

from __future__ import annotations

import datetime
from typing import Any

from prism_core.rest.pages.filled import option
from prism_core.rest.pages.prose import html_of
from prism_core.types import TensorSpec

_WORDS = {"BOOL": "yes or no", "BYTES": "text", "FP16": "number", "FP32": "number", "FP64": "number"}


def day(seconds: float) -> str:
    """Return a day for people: 26 November 2026."""
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return f"{moment.day} {moment:%B %Y}"


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


def shape(spec: TensorSpec) -> str:
    """Return the form of a tensor: ``rows x 4``."""
    sizes = ["any" if size < 0 else str(size) for size in spec.shape]
    return " × ".join(["rows", *sizes[1:]] if sizes and sizes[0] == "any" else sizes) or "one value"


ALL: dict[str, Any] = {
    "day": day,
    "stamp": stamp,
    "number": number,
    "milliseconds": milliseconds,
    "kind": kind,
    "shape": shape,
    "option": option,
    "markdown": html_of,
}
