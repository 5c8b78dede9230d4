"""How many replicas a version needs: Little's law over what was measured. Pure."""

from __future__ import annotations

import math
from collections import deque

import attrs

# A replica that is busy this much of the time has room for what comes unevenly.
UTILISATION = 0.7
# In this time what waits is to be worked off, beside what arrives.
CATCH_UP_S = 1.0
# A crew shrinks to the most that it needed in so many looks, about a second each: a load
# that comes in waves must not start and end a replica with each of them.
REMEMBERED_LOOKS = 15


@attrs.frozen
class Load:
    """What a version was asked in one span of time, as measured.

    Parameters
    ----------
    rate_per_s
        Requests that were computed.
    service_s
        Replica time that one request takes: its share of the executions that it was in.
    waiting
        Requests that wait now, queued or for a replica.
    """

    rate_per_s: float
    service_s: float
    waiting: float = 0.0

    @property
    def concurrency(self) -> float:
        """Replicas that are busy on average: arrivals x service time, with the queue worked off in time."""
        return (self.rate_per_s + self.waiting / CATCH_UP_S) * self.service_s

    @property
    def wanted(self) -> int:
        """Replicas that serve this without a growing queue."""
        return max(1, math.ceil(self.concurrency / UTILISATION - 1e-9))


@attrs.frozen
class Bounds:
    """How many replicas there may be. ``fewest`` wins over ``cores`` and ``affordable`` (memory)."""

    fewest: int
    most: int
    cores: int
    affordable: int

    def clip(self, wanted: int) -> int:
        """Return the allowed number that is nearest to ``wanted``."""
        return max(self.fewest, min(wanted, self.most, self.cores, self.affordable))


@attrs.define
class Scale:
    """The size of one crew over time: up at once, down when nothing has needed more for a while."""

    _recent: deque[int] = attrs.field(factory=lambda: deque(maxlen=REMEMBERED_LOOKS))

    def target(self, load: Load, now: int, bounds: Bounds) -> int:
        """Return how many replicas there should be, where ``now`` there are."""
        self._recent.append(load.wanted)
        wanted = load.wanted if load.wanted > now else min(now, max(self._recent))
        settled = len(self._recent) == self._recent.maxlen
        return bounds.clip(wanted if wanted > now or settled else now)
