"""Spans of time as people write them: ``last:24h``, ``2026-11-01..2026-11-02T12:00``, ``all``."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

import rich_click as click

from prism_core.cli.durations import parse_duration

ALL = "all"


class Span(click.ParamType[tuple[float | None, float | None]]):
    """A span of time on the command line; when it begins and ends in Python, None where that is open."""

    name = "span"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float | None, float | None]:
        """Return the Unix seconds."""
        if isinstance(value, tuple):
            return value
        try:
            return parse_span(value, time.time())
        except ValueError as error:
            self.fail(str(error), param, ctx)


def parse_span(text: str, now: float) -> tuple[float | None, float | None]:
    """Return when a span begins and ends; a date without a zone is local time.

    Raises
    ------
    ValueError
        If it is none.
    """
    if text == ALL:
        return None, None
    if text.startswith("last:"):
        return now - parse_duration(text.removeprefix("last:")), None
    begin, dots, end = text.partition("..")
    if not dots or not (begin or end):
        raise ValueError(f"expected last:24h, FROM..TO or all, got {text!r}.")
    since, until = (_moment(part) if part else None for part in (begin, end))
    if since is not None and until is not None and since >= until:
        raise ValueError(f"{text!r} ends before it begins.")
    return since, until


def _moment(text: str) -> float:
    try:
        return datetime.fromisoformat(text.strip()).timestamp()
    except ValueError:
        raise ValueError(f"expected a date such as 2026-11-01 or 2026-11-01T12:30, got {text!r}.") from None
