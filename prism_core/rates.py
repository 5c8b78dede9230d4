"""Rates and quotas as people write them: ``5/s``, ``100/min burst 20``, ``1000``."""

from __future__ import annotations

import re

import attrs

_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86_400}
_UNITS = {
    name: _SECONDS[unit]
    for unit, names in (
        ("s", ("s", "sec", "second")),
        ("min", ("m", "min", "minute")),
        ("h", ("h", "hour")),
        ("d", ("d", "day")),
    )
    for name in names
}
_WRITTEN = re.compile(r"(\d+) */ *(\d+)? *([a-z]+)(?: +burst +(\d+))?")
# More than any server answers; what is earned in a time must stay a number that a clock can tell apart.
MOST = 10_000_000


@attrs.frozen
class Rate:
    """How many requests in which time, and how many at once.

    A token bucket: ``burst`` requests may come together, and ``count / period_s`` a second
    after that. In any time t no more than ``burst + count * t / period_s`` are let in.
    """

    count: int
    period_s: int
    burst: int

    @classmethod
    def parse(cls, text: str) -> Rate:
        """Read ``5/s``, ``100/min``, ``3/10s`` or ``5/s burst 20``; without a burst it is the count.

        Raises
        ------
        ValueError
            If it is none of these.
        """
        found = _WRITTEN.fullmatch(text.strip().lower())
        unit = _UNITS.get(found[3]) if found else None
        if found is None or unit is None:
            raise ValueError(f"expected a rate such as 5/s, 100/min or 5/s burst 20, got {text!r}.")
        count, many = int(found[1]), int(found[2] or 1)
        burst = int(found[4] or count)
        if not (0 < count <= MOST and 0 < burst <= MOST and 0 < many * unit <= MOST):
            raise ValueError(f"every number of a rate is from 1 to {MOST}, got {text!r}.")
        return cls(count, many * unit, burst)

    @property
    def interval_s(self) -> float:
        """The time in which one request is earned."""
        return self.period_s / self.count

    @property
    def window_s(self) -> float:
        """The time in which the whole burst is earned."""
        return self.burst * self.period_s / self.count

    def __str__(self) -> str:
        unit = max((u for u in _SECONDS if self.period_s % _SECONDS[u] == 0), key=_SECONDS.__getitem__)
        many = self.period_s // _SECONDS[unit]
        burst = "" if self.burst == self.count else f" burst {self.burst}"
        return f"{self.count}/{many if many > 1 else ''}{unit}{burst}"


@attrs.frozen
class Allowance:
    """What one caller may do; None is no limit. ``quota`` is how many requests in all."""

    rate: Rate | None = None
    quota: int | None = None
