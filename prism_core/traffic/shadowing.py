"""Of which requests shadows are asked, and for how much of the time."""

from __future__ import annotations

import math
from hashlib import blake2b

import attrs

# While there is live traffic, shadows compute for so much of the time at most: of a hundred live requests one
# meets one, whatever it takes.
SHARE = 0.01
# Without any for so long there is nobody whom they could slow down.
QUIET_S = 0.25

_SCALE = 1 << 64


def sampled(request: str, percent: float) -> bool:
    """Return whether shadows are asked of a request, by its id: the same always, or never."""
    if percent >= 100:
        return True
    drawn = int.from_bytes(blake2b(request.encode(), digest_size=8, person=b"shadow").digest(), "big")
    return drawn < percent / 100 * _SCALE


@attrs.define
class Pace:
    """When the next question may be asked. Times are seconds of one clock that never goes back."""

    _live: float = -math.inf
    _rested: float = -math.inf

    def live(self, now: float) -> None:
        """Take note that live traffic was seen."""
        self._live = now

    def answered(self, took_s: float, now: float) -> None:
        """Take note of a question that a shadow was busy with for so long."""
        self._rested = max(self._rested, now + took_s * (1 / SHARE - 1))

    def wait_s(self, now: float) -> float:
        """Return how long a question has to wait at least; 0 where it need not."""
        return max(0.0, min(self._rested, self._live + QUIET_S) - now)
