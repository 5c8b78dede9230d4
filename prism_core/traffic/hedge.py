"""A second replica is asked where the first is slow.

Dean and Barroso, The Tail at Scale, CACM 56:2, 2013. When, and how often: values and what is measured for
them, without a clock.
"""

from __future__ import annotations

from math import exp, log
from typing import Annotated

import attrs
from msgspec import Meta

from prism_core.traffic.targets import NotNegative, Percent

# So many second questions may be saved up, for a moment in which many requests wait for the same replica.
MOST_SAVED = 50.0

# Times are counted in buckets that are 5 % wide, from 10 us to about 1,000 s.
_WIDTH = log(1.05)
_SHORTEST_S = 1e-5
_BUCKETS = 380
# After so many times the older ones count half.
_MEMORY = 1000
# Fewer say nothing of a percentile.
_FEWEST = 20


@attrs.frozen
class Hedge:
    """When a second replica is asked.

    Parameters
    ----------
    after_ms
        So long after the first; 0: after the time in which ``percentile`` of the answers came lately.
    budget_percent
        So many second questions in a hundred requests, at most.
    """

    after_ms: NotNegative = 0.0
    percentile: Annotated[float, Meta(gt=0, le=100)] = 95.0
    budget_percent: Percent = 5.0


class Budget:
    """How many second questions there may be: each request earns a part of one, up to `MOST_SAVED`."""

    __slots__ = ("_earned",)

    def __init__(self) -> None:
        self._earned = 0.0

    def earn(self, percent: float) -> None:
        """Hear of a request, of which ``percent`` may have a second question."""
        self._earned = min(MOST_SAVED, self._earned + percent / 100)

    def spend(self) -> bool:
        """Return whether there may be a second question now, which is counted then."""
        if self._earned < 1 - 1e-9:  # a hundred times a hundredth is a little less than one
            return False
        self._earned -= 1
        return True


class RecentTimes:
    """In what time most answers came lately, to within 5 %; an answer costs no more than a few steps.

    Parameters
    ----------
    percentile
        How many are most.
    """

    __slots__ = ("_at", "_below", "_counts", "_part", "_total")

    def __init__(self, percentile: float) -> None:
        self._part = percentile / 100
        self._counts = [0] * _BUCKETS
        self._at = 0  # the bucket of the percentile; there are so many times before it:
        self._below = 0
        self._total = 0

    @property
    def most_s(self) -> float:
        """The time; 0 where too few are known."""
        return _SHORTEST_S * exp((self._at + 1) * _WIDTH) if self._total >= _FEWEST else 0.0

    def add(self, seconds: float) -> None:
        """Take a time."""
        bucket = min(_BUCKETS - 1, max(0, int(log(max(seconds, _SHORTEST_S) / _SHORTEST_S) / _WIDTH)))
        self._counts[bucket] += 1
        self._total += 1
        if bucket < self._at:
            self._below += 1
        if self._total >= _MEMORY:
            self._forget()
        self._move()

    def _move(self) -> None:
        counts, wanted = self._counts, self._part * self._total
        while self._below >= wanted and self._at > 0:
            self._at -= 1
            self._below -= counts[self._at]
        while self._below + counts[self._at] < wanted:
            self._below += counts[self._at]
            self._at += 1

    def _forget(self) -> None:
        self._counts = [count >> 1 for count in self._counts]
        self._total = sum(self._counts)
        self._below = sum(self._counts[: self._at])
