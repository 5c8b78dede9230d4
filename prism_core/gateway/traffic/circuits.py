"""The circuits of the versions that routes lead to, in one gateway process.

A circuit belongs to the lane and to the model whose route leads there: it outlives changes of the route, and
a version that is started anew begins with a closed one. An open circuit only leads elsewhere. A version with
nobody behind it is asked all the same, since a refusal would help no one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING
from weakref import ref

from prism_core.errors import DeadlineExceeded, InternalError, ModelFailed, ReplicaLost
from prism_core.gateway.breaker import Breaker, Circuit
from prism_core.gateway.prediction import Prediction
from prism_core.gateway.traffic.kinds import CircuitMoved
from prism_core.traffic.circuit import CircuitPolicy

if TYPE_CHECKING:
    from prism_core.gateway.lane import Lane

# What says something of the version. Being asked too much, or not being loaded, does not: opening then would
# only swing the load from one version to the next and back.
FAULTS = (DeadlineExceeded, InternalError, ModelFailed, ReplicaLost)

OPEN = "circuit_open"


class VersionCircuit:
    """The circuit of one version, as one route asks it. ``now`` is monotonic seconds.

    Parameters
    ----------
    lane
        The version.
    moved
        Called with each new state.

    Attributes
    ----------
    strained
        Whether it is not closed.
    troubled
        Whether anything failed since it last worked.
    """

    __slots__ = ("_breaker", "_lane", "_moved", "strained", "troubled")

    def __init__(self, lane: Lane, moved: Callable[[Circuit], None]) -> None:
        self._lane = ref(lane)
        self._moved = moved
        self._breaker = Breaker()
        self.strained = self.troubled = False

    def follow(self, policy: CircuitPolicy) -> None:
        """Go by a policy from now on."""
        breaker = self._breaker
        breaker.patience = policy.failures
        breaker.first_s, breaker.longest_s = policy.pause_s, policy.longest_s

    def of(self, lane: Lane | None) -> bool:
        """Return whether it is the circuit of this lane."""
        return lane is not None and self._lane() is lane

    @property
    def state(self) -> Circuit:
        """Its state."""
        return self._breaker.state

    def allows(self, now: float) -> bool:
        """Return whether the version is asked; where that is a trial, the next time it is not."""
        before = self._breaker.state
        allowed = self._breaker.allows(now)
        self._tell(before)
        return allowed

    def worked(self, outcome: Prediction) -> None:
        """Hear of an answer; one that was kept says nothing of how it is now."""
        if outcome.batch_rows:
            before = self._breaker.state
            self._breaker.succeeded()
            self.troubled = self._breaker.failures > 0
            self._tell(before)

    def failed(self, error: Exception, now: float, *, hurried: bool) -> None:
        """Hear of a failure; ``hurried``: it had less time than the route and the version allow it."""
        if isinstance(error, FAULTS) and not (hurried and isinstance(error, DeadlineExceeded)):
            before = self._breaker.state
            self._breaker.failed(now)
            self.troubled = True
            self._tell(before)

    def forget(self) -> None:
        """Tell nobody any more, whatever the version still has in flight; last that it is closed."""
        moved, self._moved = self._moved, _untold
        if self.strained:
            moved(Circuit.CLOSED)

    def _tell(self, before: Circuit) -> None:
        state = self._breaker.state
        if state is not before:
            self.strained = state is not Circuit.CLOSED
            self._moved(state)


class Circuits:
    """All circuits of a process, by the model with the route, and the reference of the version.

    Parameters
    ----------
    record
        Takes what changes.
    """

    def __init__(self, record: Callable[[CircuitMoved], None]) -> None:
        self._record = record
        self._kept: dict[tuple[str, str], VersionCircuit] = {}

    def of(self, model: str, lane: Lane, policy: CircuitPolicy) -> VersionCircuit:
        """Return the circuit of a version that the route of ``model`` leads to."""
        arm = f"{lane.model}/{lane.version}"
        found = self._kept.get((model, arm))
        if found is None or not found.of(lane):
            found = self._kept[model, arm] = VersionCircuit(
                lane, lambda state: self._moved(model, arm, state)
            )
        found.follow(policy)
        return found

    def settle(self, model: str, lanes: Mapping[str, Lane]) -> None:
        """Forget the circuits of versions that are not served any more, or were started anew."""
        for (own, arm), circuit in tuple(self._kept.items()):
            if own == model and not circuit.of(lanes.get(arm)):
                del self._kept[own, arm]
                circuit.forget()

    def _moved(self, model: str, arm: str, state: Circuit) -> None:
        self._record(CircuitMoved(time.time(), model, arm, str(state), os.getpid()))


def _untold(state: Circuit) -> None:
    """Hear of a circuit that is nobody's any more."""
