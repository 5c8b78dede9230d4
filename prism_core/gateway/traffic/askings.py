"""How a version is asked by a route that has somebody else to ask.

A plain prediction waits for a replica: there is nobody else. One on its way by a route goes on to the next
instead, and what it waited for is woken, so that whoever comes later finds it loaded.
"""

from __future__ import annotations

import asyncio

from prism_core.errors import PrismError, ReplicaLost, StillLoading
from prism_core.gateway.asking import Asking
from prism_core.gateway.cache import AnswerCache


class Impatient(Asking):
    """A prediction that waits for no replica: what is kept and what is loaded answers it, nothing else."""

    __slots__ = ()

    def _look(self, cache: AnswerCache, key: bytes | None) -> None:
        super()._look(cache, key)
        # An equal request is waited for that may wait for a replica itself.
        if not (self.done or self._second or self._lane.clients):
            self._wait_for_replica()

    def _wait_for_replica(self) -> None:
        # Not from here: whoever waits for an equal request goes on when that one ends, thousands deep.
        self._disarm()
        self._timer = asyncio.get_running_loop().call_soon(self._stand_back)

    def _stand_back(self) -> None:
        self._timer = None
        self._leave()
        self._end(self._not_loaded())

    def _not_loaded(self) -> PrismError:
        lane = self._lane
        if self._losses:
            return ReplicaLost(
                f"The replica of {lane.model!r} went away with the request in flight, and it was the last.",
                hint="It is started again: try again.",
            )
        return StillLoading(
            f"Version {lane.version} of {lane.model!r} is not loaded.",
            hint="It is being loaded: try again.",
            details={"retry_after_s": max(1.0, lane.load_s)},
        )

    def _stand_trial(self, error: ReplicaLost) -> None:
        self._fail(error)  # the next version asks it alone, as a `Suspect`


class Suspect(Asking):
    """A prediction that may have ended a replica of another version: it is asked alone."""

    __slots__ = ()

    def compute(self) -> None:
        """Wait until it may be asked alone."""
        lane = self._lane
        if lane.refusal is not None:
            self._fail(lane.refusal)
        else:
            self._arm(self._head.hold_s or lane.hold_s)
            lane.trials.add(self)
