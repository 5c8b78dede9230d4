"""How much of something may pass in a time. Pure: the moment is always given."""

from __future__ import annotations

import attrs


@attrs.define
class Bucket:
    """Holds ``burst``, is filled with ``per_s`` a second.

    Kept as one number, the moment at which it is full.
    """

    per_s: float
    burst: float
    _full: float = 0.0

    def take(self, now: float, amount: float = 1.0) -> float:
        """Take ``amount`` and return 0, or take nothing and return in how many seconds it would be there."""
        full = max(self._full, now) + amount / self.per_s
        short = full - now - self.burst / self.per_s
        if short > 1e-9:
            return short
        self._full = full
        return 0.0

    def owe(self, now: float, amount: float) -> float:
        """Take ``amount`` in any case, and return in how many seconds the bucket is no more in debt."""
        self._full = max(self._full, now) + amount / self.per_s
        return max(0.0, self._full - now - self.burst / self.per_s)
