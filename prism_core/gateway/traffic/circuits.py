"""The circuits of the versions that routes lead to, in one gateway process.

A circuit belongs to the lane and to the model whose route leads there: it outlives changes of the route, and
a version that is started anew begins with a closed one. An open circuit only leads elsewhere. A version with
nobody behind it is asked all the same, since a refusal would help no one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import attrs

from prism_core.errors import DeadlineExceeded, InternalError, ModelFailed, ReplicaLost
from prism_core.gateway.asking import Prediction
from prism_core.gateway.breaker import Breaker, Circuit
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
    policy
        When it opens.
    """

    def __init__(self, lane: Lane, policy: CircuitPolicy) -> None:
        self.lane = lane
        self._breaker = Breaker()
        self.follow(policy)

    def follow(self, policy: CircuitPolicy) -> None:
        """Go by another policy from now on."""
        breaker = self._breaker
        breaker.patience, breaker.first_s, breaker.longest_s = (
            policy.failures,
            policy.pause_s,
            policy.longest_s,
        )

    @property
    def state(self) -> Circuit:
        """Its state."""
        return self._breaker.state

    def allows(self, now: float) -> bool:
        """Return whether the version is asked; where that is a trial, the next time it is not."""
        return self._breaker.allows(now)

    def hear(self, outcome: Prediction | Exception, now: float, *, hurried: bool) -> None:
        """Hear how a call ended; ``hurried``: it had less time than the route and the version allow it."""
        breaker = self._breaker
        if isinstance(outcome, Prediction):
            # What was kept says nothing of how it is now.
            if breaker.failures and outcome.batch_rows:
                breaker.succeeded()
        elif isinstance(outcome, FAULTS) and not (hurried and isinstance(outcome, DeadlineExceeded)):
            breaker.failed(now)


@attrs.define(eq=False)
class Circuits:
    """All circuits of a process, by the model with the route, and the reference of the version."""

    _kept: dict[tuple[str, str], VersionCircuit] = attrs.field(factory=dict)

    def of(self, model: str, lane: Lane, policy: CircuitPolicy) -> VersionCircuit:
        """Return the circuit of a version that the route of ``model`` leads to."""
        key = (model, f"{lane.model}/{lane.version}")
        found = self._kept.get(key)
        if found is None or found.lane is not lane:
            found = self._kept[key] = VersionCircuit(lane, policy)
        found.follow(policy)
        return found

    def states(self, model: str) -> Mapping[str, Circuit]:
        """Return the state of each version's circuit."""
        return {arm: circuit.state for (own, arm), circuit in self._kept.items() if own == model}
