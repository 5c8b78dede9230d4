"""How much a version is used: what decides whether it is worth its memory. Pure; time is an argument."""

from __future__ import annotations

import attrs

# Calls count half as much after this time: what mattered yesterday yields to what matters now.
HALF_LIFE_S = 3600.0


@attrs.define
class Use:
    """The use of one version.

    ``last`` is when it was last used, in Unix seconds, 0.0 for never. ``load_s`` is how long
    its last load took, ``own_bytes`` what one replica was last measured to use; 0 before that.
    ``warm_until`` is until when it is kept loaded whatever its use, in Unix seconds; 0.0: not.
    """

    last: float = 0.0
    load_s: float = 0.0
    own_bytes: int = 0
    warm_until: float = 0.0
    _weight: float = 0.0
    _weighed: float = 0.0

    def add(self, calls: int, now: float) -> None:
        """Count ``calls``, the latest of them ``now``."""
        self._weight = self.frequency(now) + calls
        self._weighed = self.last = now

    def frequency(self, now: float) -> float:
        """Return the calls so far, older ones for less."""
        return float(self._weight * 0.5 ** (max(0.0, now - self._weighed) / HALF_LIFE_S))

    def idle_s(self, now: float, since: float) -> float:
        """Return how long it has not been used, counted from ``since`` (its load) at the earliest."""
        return max(0.0, now - max(self.last, since))
