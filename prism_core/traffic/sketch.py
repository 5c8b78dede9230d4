"""Numbers in buckets of equal ratio: quantiles within a few per cent, and sketches that add up exactly.

The buckets are those of DDSketch (Masson, Rim and Lee, PVLDB 12:12, 2019): each is 5 % wider than the one
below it, so whatever falls into one is known within 2.5 % of itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import msgspec

RATIO = 1.05
_LOG = math.log(RATIO)
# Of the middle of a bucket to its upper bound.
_MIDDLE = 2 / (1 + RATIO)
# What is smaller counts as 0, what is larger as this: at most 1,700 buckets, of which few are ever used.
SMALLEST, LARGEST = 1e-9, 1e9
_LOW, _HIGH = math.ceil(math.log(SMALLEST) / _LOG), math.ceil(math.log(LARGEST) / _LOG)


class Sketch(msgspec.Struct, array_like=True):
    """How often which numbers came.

    Parameters
    ----------
    zeros
        Numbers that are 0, or nearly.
    above, below
        Counts of positive and of negative numbers by bucket.
    """

    zeros: int = 0
    above: dict[int, int] = {}
    below: dict[int, int] = {}

    @property
    def count(self) -> int:
        """How many numbers there are."""
        return self.zeros + sum(self.above.values()) + sum(self.below.values())

    def add(self, value: float) -> None:
        """Count a number; it must not be NaN."""
        if -SMALLEST < value < SMALLEST:
            self.zeros += 1
            return
        counts, size = (self.above, value) if value > 0 else (self.below, -value)
        place = _HIGH if size >= LARGEST else max(_LOW, math.ceil(math.log(size) / _LOG))
        counts[place] = counts.get(place, 0) + 1

    def merge(self, other: Sketch) -> None:
        """Count all that ``other`` has counted."""
        self.zeros += other.zeros
        for mine, more in ((self.above, other.above), (self.below, other.below)):
            for place, count in more.items():
                mine[place] = mine.get(place, 0) + count

    def quantile(self, share: float) -> float:
        """Return the number below which a ``share`` of all lies; 0 where there is none."""
        wanted = share * (self.count - 1)
        seen = 0
        for value, count in self.ordered():
            seen += count
            if seen > wanted:
                return value
        return 0.0

    def ordered(self) -> Iterator[tuple[float, int]]:
        """Yield the middles of the buckets that are not empty, in their order, and their counts."""
        for place in sorted(self.below, reverse=True):
            yield -_middle(place), self.below[place]
        if self.zeros:
            yield 0.0, self.zeros
        for place in sorted(self.above):
            yield _middle(place), self.above[place]


def _middle(place: int) -> float:
    return RATIO**place * _MIDDLE
