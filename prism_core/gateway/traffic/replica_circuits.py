"""The circuits of replicas in all gateways, as the leader knows them: shown, told by events, as a metric.

See `prism_core.gateway.troubles` for when one opens.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import attrs
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from prism_core.gateway.breaker import Circuit
from prism_core.gateway.client import ReplicaClient
from prism_core.gateway.lane import Lane
from prism_core.gateway.traffic.kinds import ReplicaMoved, TrafficRecord
from prism_core.gateway.troubles import Moved
from prism_core.specs import ModelEvent

if TYPE_CHECKING:
    from prism_core.gateway.supervisor import Supervisor

GONE = "gone"


def tell_of_replicas(record: Callable[[TrafficRecord], None]) -> Moved:
    """Return what lets the leader know of the circuits of replicas in this process."""

    def moved(lane: Lane, client: ReplicaClient, state: Circuit | None) -> None:
        told = GONE if state is None else str(state)
        record(ReplicaMoved(time.time(), lane.model, lane.version, client.address, told, os.getpid()))

    return moved


@attrs.define(eq=False)
class ReplicaCircuits(Collector):
    """Which replicas are left out, and by which gateways.

    Parameters
    ----------
    emit
        Gets ``replica.left_out`` when the first gateway leaves one out, ``replica.taken_back`` when all
        ask it again.

    Attributes
    ----------
    supervisor
        Knows what replicas are called; None before there is one.
    """

    emit: Callable[[ModelEvent], None]
    supervisor: Supervisor | None = attrs.field(default=None, init=False)
    _states: defaultdict[tuple[str, int, str], dict[int, Circuit]] = attrs.field(
        factory=lambda: defaultdict(dict), init=False
    )

    def hear(self, moved: ReplicaMoved) -> None:
        """Take a change of one gateway's."""
        key = (moved.model, moved.version, moved.address)
        known = key in self._states
        self._states[key].pop(moved.gateway, None)
        if moved.state not in (Circuit.CLOSED, GONE):
            self._states[key][moved.gateway] = Circuit(moved.state)
        self._settle(key, known=known, gone=moved.state == GONE)

    def left(self, gateway: int) -> None:
        """Hear that a gateway's process has ended."""
        for key, gateways in tuple(self._states.items()):
            if gateways.pop(gateway, None):
                self._settle(key, known=True)

    def of(self, model: str, version: int, address: str) -> Circuit:
        """Return the state of a replica's circuit, of several gateways the one that has most to tell."""
        states = set(self._states.get((model, version, address), {}).values())
        return next((one for one in (Circuit.OPEN, Circuit.HALF_OPEN) if one in states), Circuit.CLOSED)

    def collect(self) -> Iterator[Metric]:
        """Yield the gauge for `prometheus_client`."""
        text = "Replicas that get no requests since they fail while others answer."
        family = GaugeMetricFamily("prism_replicas_left_out", text, labels=("model", "version"))
        counts: defaultdict[tuple[str, str], int] = defaultdict(int)
        for model, version, _ in self._states:
            counts[model, str(version)] += 1
        for labels, count in counts.items():
            family.add_metric(labels, count)
        yield family

    def _settle(self, key: tuple[str, int, str], *, known: bool, gone: bool = False) -> None:
        left_out = bool(self._states[key])
        if not left_out:
            del self._states[key]
        if left_out != known and not gone:
            model, version, _ = key
            name = "replica.left_out" if left_out else "replica.taken_back"
            self.emit(ModelEvent(name, model, version, time.time(), {"replica": self._name(*key)}))

    def _name(self, model: str, version: int, address: str) -> str:
        crew = self.supervisor.crews.get((model, version)) if self.supervisor else None
        known = {one.client.address: one.name for one in (crew.replicas if crew else ()) if one.client}
        return known.get(address, "")
