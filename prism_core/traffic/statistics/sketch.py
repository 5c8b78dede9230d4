"""Quantiles from counts in buckets of equal ratio; sketches are added up bucket by bucket.

Masson, Rim and Lee, DDSketch: a fast and fully-mergeable quantile sketch with relative-error guarantees,
VLDB 2019.
"""

from __future__ import annotations

import math

import attrs

# A bucket ends 5 % above where it begins, so its middle is within 2.5 % of all that is in it.
RATIO = 1.05
_LOG = math.log(RATIO)
# From a microsecond to some three hours.
FIRST, LAST = round(math.log(1e-6) / _LOG), round(math.log(1e4) / _LOG)


@attrs.define
class Sketch:
    """How many values there were in each bucket, by its number."""

    counts: dict[int, int] = attrs.field(factory=dict)
    n: int = 0

    def add(self, value: float) -> None:
        """Add a value; what is too small or too large for the buckets is in the first or last."""
        found = math.ceil(math.log(value) / _LOG) if value > 0 else FIRST
        bucket = min(max(found, FIRST), LAST)
        self.counts[bucket] = self.counts.get(bucket, 0) + 1
        self.n += 1

    def quantile(self, part: float) -> float:
        """Return what ``part`` of the values are not above; 0 without values."""
        seen, wanted = 0, part * self.n
        for bucket in sorted(self.counts):
            seen += self.counts[bucket]
            if seen >= wanted:
                return math.exp((bucket - 0.5) * _LOG)
        return 0.0
