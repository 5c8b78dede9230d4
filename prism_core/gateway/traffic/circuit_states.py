"""The circuits of all gateways, as the leader knows them: told as a metric, by events, to whoever asks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress

import attrs
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from prism_core.errors import ModelNotFound
from prism_core.gateway.breaker import Circuit
from prism_core.gateway.registry import Registry
from prism_core.gateway.traffic.kinds import CircuitMoved
from prism_core.gateway.traffic.replica_circuits import ReplicaCircuits
from prism_core.specs import ModelEvent
from prism_core.traffic.route import Route
from prism_core.traffic.targets import Target

# Of several gateways that one counts which has most to tell.
_RANK = {Circuit.CLOSED: 0, Circuit.HALF_OPEN: 1, Circuit.OPEN: 2}


@attrs.define(eq=False)
class CircuitStates(Collector):
    """What state the circuits of routes are in.

    Parameters
    ----------
    registry
        Knows the routes, and what they lead to.
    emit
        Gets ``circuit.opened`` where the first gateway opens one, ``circuit.closed`` where all have
        closed it.

    Attributes
    ----------
    replicas
        The circuits of replicas.
    """

    registry: Registry
    emit: Callable[[ModelEvent], None]
    replicas: ReplicaCircuits = attrs.field(init=False)
    _strained: dict[tuple[str, str], dict[int, Circuit]] = attrs.field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        """Tell of replicas by the same way."""
        self.replicas = ReplicaCircuits(self.emit)

    def hear(self, moved: CircuitMoved) -> None:
        """Take a change of one gateway's."""
        gateways = self._strained.setdefault((moved.model, moved.arm), {})
        known, state = bool(gateways), Circuit(moved.state)
        gateways.pop(moved.gateway, None)
        if state is not Circuit.CLOSED:
            gateways[moved.gateway] = state
        self._tell(moved.model, moved.arm, known=known)

    def left(self, gateway: int) -> None:
        """Hear that a gateway's process has ended."""
        self.replicas.left(gateway)
        for (model, arm), gateways in tuple(self._strained.items()):
            if gateways.pop(gateway, None):
                self._tell(model, arm, known=True)

    def of(self, model: str) -> Mapping[str, Circuit]:
        """Return the state of the circuit of each version that may answer for a model by its route."""
        found = self.registry.models.get(model)
        if found is None or found.route is None:
            return {}
        return {arm: self._worst(model, arm) for arm in self._arms(model, found.route)}

    def collect(self) -> Iterator[Metric]:
        """Yield the gauge for `prometheus_client`."""
        family = GaugeMetricFamily(
            "prism_circuit", "1 for the state of a circuit.", labels=("model", "arm", "state")
        )
        for model in self.registry.models:
            for arm, state in self.of(model).items():
                family.add_metric((model, arm, str(state)), 1)
        yield family

    def _arms(self, model: str, route: Route) -> Iterator[str]:
        chosen = (*route.rules, *route.split) or (Target("latest"),)
        for target in (*chosen, *(one for one in route.fallback if one.value is None)):
            with suppress(ModelNotFound):
                yield self.registry.find(target.reference(model)).name

    def _worst(self, model: str, arm: str) -> Circuit:
        gateways = self._strained.get((model, arm), {})
        return max(gateways.values(), key=_RANK.__getitem__, default=Circuit.CLOSED)

    def _tell(self, model: str, arm: str, *, known: bool) -> None:
        strained = bool(self._strained[model, arm])
        if not strained:
            del self._strained[model, arm]
        if strained != known:
            name, _, version = arm.partition("/")
            event = "circuit.opened" if strained else "circuit.closed"
            self.emit(ModelEvent(event, name, int(version), time.time(), {"route": model}))
