"""When each request of a replay is due: as they came, or that many times as fast.

A request is sent when it is due, whether or not those before have been answered (an open loop). Who waits for
answers asks a slow version less often than its callers would, and measures the better times that this has.
"""

from __future__ import annotations

import attrs


@attrs.define
class Pacing:
    """Says when requests are due.

    Parameters
    ----------
    speed
        So many times as fast as they came.
    max_gap_s
        A longer silence is cut to this, at the speed of the replay; 0: none is.
    """

    speed: float = 1.0
    max_gap_s: float = 0.0
    _last: float | None = None
    _due: float = 0.0

    def due(self, at: float) -> float:
        """Return how many seconds after the first one a request is due that came ``at``, in their order."""
        if self._last is not None:
            gap_s = max(0.0, at - self._last) / self.speed
            self._due += min(gap_s, self.max_gap_s) if self.max_gap_s else gap_s
        self._last = at
        return self._due


def wait_s(due: float, now: float, least_s: float = 0.001) -> float:
    """Return how long to wait for what is ``due``; not for less than ``least_s``, which no timer keeps."""
    left = due - now
    return left if left >= least_s else 0.0
