"""An interval of values that are still possible."""

from __future__ import annotations

import math

import attrs


@attrs.frozen
class Interval:
    """From ``low`` to ``high``; infinite where nothing is known yet."""

    low: float = -math.inf
    high: float = math.inf

    def within(self, bound: float) -> bool:
        """Return whether all of it is nearer to 0 than ``bound``."""
        return -bound < self.low and self.high < bound
