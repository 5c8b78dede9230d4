"""A model with a route, where others have a lane."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import attrs

from prism_core.errors import PrismError
from prism_core.gateway.asking import Head, OnAnswer, Prediction
from prism_core.gateway.traffic.askable import answered
from prism_core.gateway.traffic.journey import Ended, Journey
from prism_core.gateway.traffic.kinds import TrafficRecord
from prism_core.gateway.traffic.sender import AskSender, Sender, nobody
from prism_core.traffic.route import Route
from prism_core.traffic.splitting import Split
from prism_core.traffic.sticky import key_of

if TYPE_CHECKING:
    from prism_core.gateway.lane import Lane
    from prism_core.gateway.registry import Model, Registry

# Gets each routed request after its answer.
Tap = Callable[[Ended], None]


@attrs.frozen(eq=False)
class Routing:
    """What the routes of one gateway process share.

    Parameters
    ----------
    record
        Takes what is found out about requests, on its way to the leader.
    taps
        Each returns what is to get the requests of a route after their answers, None for a route that does
        not want it. Called whenever the lanes or the route of a model have changed.
    """

    record: Callable[[TrafficRecord], None]
    taps: list[Callable[[Routed], Tap | None]] = attrs.field(factory=list)

    def serve(self, registry: Registry) -> None:
        """Follow the routes of a registry's models from now on."""
        registry.routed = partial(self._make, registry.explain)
        registry.refresh()

    def _make(
        self, explain: Callable[[str], PrismError], model: Model, route: Route, lanes: Mapping[str, Lane]
    ) -> Routed:
        routed = Routed(self, model.name, route, model.revision, lanes, explain)
        routed.taps = tuple(tap for make in self.taps if (tap := make(routed)) is not None)
        return routed


class Routed:
    """A model with a route. Made by `Routing`, and anew whenever something of it changes.

    Attributes
    ----------
    lanes
        The lanes of all references that are served now.
    taps
        What gets each request after its answer.
    """

    def __init__(
        self,
        routing: Routing,
        model: str,
        route: Route,
        revision: int,
        lanes: Mapping[str, Lane],
        explain: Callable[[str], PrismError],
    ) -> None:
        self.routing = routing
        self.model = model
        self.route = route
        self.revision = revision
        self.lanes = lanes
        self.taps: tuple[Tap, ...] = ()
        self._explain = explain
        named = ((share.reference(model), share.weight) for share in route.split)
        self._split = Split(model, ((name, weight, name) for name, weight in named if name in lanes))
        self._key_of = key_of(route.sticky)
        self._fallbacks = self._served(one.reference(model) for one in route.fallback if one.value is None)

    def ask(
        self,
        head: Head,
        body: bytes | memoryview,
        timeout_s: float,
        answer: OnAnswer,
        request: str = "",
        sender: AskSender = nobody,
    ) -> Journey | None:
        """Begin a call; see `Lane.ask`."""
        who = sender()
        lanes = [*self._served([self._chosen(who)]), *self._fallbacks]
        if not lanes:
            answer(self._explain(f"{self.model}@latest"))
            return None
        begun = time.monotonic()
        deadline = begun + (timeout_s or lanes[0].manifest.timeout_s)
        journey = Journey(self, lanes, head, body, begun, deadline, answer, request, who)
        journey.go_on()
        return journey

    async def predict(
        self,
        head: Head,
        body: bytes | memoryview,
        timeout_s: float = 0.0,
        request: str = "",
        sender: AskSender = nobody,
    ) -> Prediction:
        """Return the answer to ``body``; see `Lane.predict`."""
        return await answered(lambda answer: self.ask(head, body, timeout_s, answer, request, sender))

    def ended(self, ended: Ended) -> None:
        """Hear of a request that has been answered."""
        self.routing.record(ended.call)
        for tap in self.taps:
            tap(ended)

    def _chosen(self, who: Sender) -> str:
        key = self._key_of(who) if self._key_of is not None else b""
        return self._split.choose(key) or f"{self.model}@latest"

    def _served(self, references: Iterable[str]) -> list[Lane]:
        return [self.lanes[one] for one in references if one in self.lanes]
