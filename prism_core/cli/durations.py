"""Durations as people write them: ``90s``, ``30min``, ``2h``, ``7d``."""

from __future__ import annotations

import re
from typing import Any

import rich_click as click

_UNITS = {"s": 1, "min": 60, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}


def parse_duration(text: str) -> float:
    """Return the seconds of ``2h``.

    Raises
    ------
    ValueError
        If it is no positive number with a unit.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|min|m|h|d|w)\s*", text.lower())
    seconds = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if seconds <= 0:
        raise ValueError(f"expected a duration such as 90s, 30min, 2h or 7d, got {text!r}.")
    return seconds


class Duration(click.ParamType[float]):
    """A duration on the command line; seconds in Python."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the seconds."""
        if isinstance(value, float):
            return value
        try:
            return parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def until(moment: float | None, now: float) -> str:
    """Return how long it is until ``moment`` (Unix seconds): ``in 3 h``, "never" for None."""
    if moment is None:
        return "never"
    left = moment - now
    if left < 60:
        return "in a moment" if left > 0 else "expired"
    # The unit in which rounding tells no lie that matters: two hours less a second are two hours.
    for unit, length, most in (("min", 60, 99), ("h", 3600, 48)):
        if round(left / length) <= most:
            return f"in {left / length:.0f} {unit}"
    return f"in {left / 86_400:.0f} d"
