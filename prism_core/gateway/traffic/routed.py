"""A model with a route, where others have a lane."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import attrs
import structlog

from prism_core.errors import PrismError
from prism_core.gateway.prediction import Head, OnAnswer, Prediction
from prism_core.gateway.traffic.askable import answered
from prism_core.gateway.traffic.chains import Chain, Chains, Hedging
from prism_core.gateway.traffic.circuits import Circuits
from prism_core.gateway.traffic.ensembles import Ensembles, EnsembleStep
from prism_core.gateway.traffic.hedging import Hedgers
from prism_core.gateway.traffic.journey import Ended, Journey
from prism_core.gateway.traffic.kinds import TrafficRecord, UnclearRule
from prism_core.gateway.traffic.rules import NO_RULE, CountryOf, Rules, nowhere
from prism_core.gateway.traffic.sender import NOBODY, AskSender, Sender, nobody
from prism_core.gateway.traffic.steps import Step, takes_json
from prism_core.traffic.route import Route
from prism_core.traffic.splitting import Split
from prism_core.traffic.sticky import giving, key_of, new_cookie

if TYPE_CHECKING:
    from prism_core.gateway.lane import Lane
    from prism_core.gateway.registry import Model, Registry

# Gets each routed request after its answer.
Tap = Callable[[Ended], None]
# Makes of a route with an ensemble the step that asks its members; see `Routing.ensembles`.
MakeEnsemble = Callable[["Routed"], Step]

log = structlog.get_logger("prism.routes")


@attrs.define(eq=False)
class Routing:
    """What the routes of one gateway process share, and what outlives their changes.

    Parameters
    ----------
    record
        Takes what is found out about requests, on its way to the leader.

    Attributes
    ----------
    taps
        Each returns what is to get the requests of a route after their answers, None for a route that does
        not want it. Called whenever the lanes or the route of a model have changed.
    ensembles
        Makes the first step of a route with an ensemble; fallbacks come behind it. Called as taps are.
    hedging
        Makes what asks a lane, where a route wants hedged requests; called as taps are.
    weights
        By model and reference, instead of those of its split, where its route learns them. A model's are
        replaced whole.
    circuits
        Of the versions.
    country_of
        Where addresses are, as rules may ask.
    """

    record: Callable[[TrafficRecord], None]
    taps: list[Callable[[Routed], Tap | None]] = attrs.field(factory=list)
    ensembles: MakeEnsemble = attrs.field(factory=Ensembles)
    hedging: Hedging = attrs.field(init=False)
    weights: dict[str, Mapping[str, float]] = attrs.field(factory=dict)
    circuits: Circuits = attrs.field(init=False)
    country_of: CountryOf = nowhere

    def __attrs_post_init__(self) -> None:
        """Let what circuits and hedged requests do be recorded too."""
        self.circuits = Circuits(self.record)
        self.hedging = Hedgers(self.record)

    def serve(self, registry: Registry) -> None:
        """Follow the routes of a registry's models from now on."""
        registry.routed = partial(self._make, registry.explain)
        registry.refresh()

    def _make(
        self, explain: Callable[[str], PrismError], model: Model, route: Route, lanes: Mapping[str, Lane]
    ) -> Routed:
        self.circuits.settle(model.name, lanes)
        routed = Routed(self, model.name, route, model.revision, lanes, explain)
        routed.taps = tuple(tap for make in self.taps if (tap := make(routed)) is not None)
        return routed


class Routed:
    """A model with a route. Made by `Routing`, and anew whenever something of it changes.

    Attributes
    ----------
    lanes
        The lanes of all references that are served now.
    explain
        Returns why another one is not.
    record
        Takes what is found out about its requests, those too that nobody waited for any more.
    taps
        What gets each request after its answer.
    shares
        The weights of the split that count now, by reference.
    """

    shares: Mapping[str, float]

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
        self.record = routing.record
        self.model = model
        self.route = route
        self.revision = revision
        self.lanes = lanes
        self.explain = explain
        self.taps: tuple[Tap, ...] = ()
        self._chains = Chains(model, route, lanes, explain, routing.circuits, routing.hedging)
        self._known: dict[tuple[int, str, bool], Chain] = {}
        self._learns = route.bandit is not None
        self._learned: Mapping[str, float] | None = None
        self._split = self._parted({})
        self._key_of = key_of(route.sticky)
        self._gives_cookies = route.sticky == "cookie"
        self._rules = Rules(model, route, routing.country_of, self._unclear) if route.rules else None
        self._asks_sender = self._key_of is not None or self._rules is not None
        self._has_value = any(one.value is not None for one in route.fallback)
        self._ensemble = routing.ensembles(self) if route.ensemble else None

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
        who = sender() if self._asks_sender or self.taps else NOBODY
        rule, reference = self._rules.decide(head, body, who) if self._rules is not None else NO_RULE
        if self._gives_cookies and self._key_of is not None and not self._key_of(who):
            who, answer = _with_cookie(who, answer)
        steps = self._steps(rule, reference, who, value=self._has_value and takes_json(head))
        now = time.monotonic()
        journey = Journey(self, steps, head, body, now, timeout_s, answer, request, who)
        journey.go_on(now)
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

    @property
    def together(self) -> EnsembleStep | None:
        """Who answers together; None where a version answers."""
        return self._ensemble if isinstance(self._ensemble, EnsembleStep) else None

    def ended(self, ended: Ended) -> None:
        """Hand a request that has been answered to the taps."""
        for tap in self.taps:
            try:
                tap(ended)
            except Exception:  # the request has its answer: whoever waited for it must not get another one
                log.exception("route.not_tapped", model=self.model)

    def _unclear(self, rule: int, reason: str, message: str) -> None:
        self.routing.record(UnclearRule(self.model, self.revision, rule, reason, message))

    # --- who is asked ------------------------------------------------------------------

    def _steps(self, rule: int, reference: str, who: Sender, *, value: bool) -> Chain:
        """Return who is asked, in order; ``value`` says whether a value may be the answer."""
        if not rule and self._ensemble is None:
            reference = self._chosen(who)
        key = (rule, reference, value)
        steps = self._known.get(key)
        if steps is None:
            steps = self._known[key] = self._chain(rule, reference, value=value)
        return steps

    def _chain(self, rule: int, reference: str, *, value: bool) -> Chain:
        if self._ensemble is not None and not rule:
            return self._chains.behind_step(self._ensemble, value=value)
        first, *others = self._chains.behind(reference, value=value)
        return (attrs.evolve(first, rule=rule), *others)

    def _chosen(self, who: Sender) -> str:
        """Return the reference of the version that a request is for."""
        learned = self.routing.weights.get(self.model) if self._learns else None
        if learned is not self._learned:
            self._split, self._learned = self._parted(learned or {}), learned
        key = self._key_of(who) if self._key_of is not None else b""
        return self._split.choose(key) or f"{self.model}@latest"

    def _parted(self, learned: Mapping[str, float]) -> Split[str]:
        """Return the shares that requests go to; weights that were ``learned`` are instead of the split's.

        What is not served keeps its share where there are fallbacks: they answer for it. Without any the
        others do, as far as one is served.
        """
        named = {share.reference(self.model): share.weight for share in self.route.split}
        if learned.keys() >= named.keys():  # those of another split say nothing of this one
            named = {name: learned[name] for name in named}
        if not self._chains.has_fallbacks:
            named = {name: weight for name, weight in named.items() if weight and name in self.lanes} or named
        self.shares = named
        return Split(self.model, ((name, weight, name) for name, weight in named.items()))


def _with_cookie(who: Sender, answer: OnAnswer) -> tuple[Sender, OnAnswer]:
    """Give a browser a cookie: it is asked for as if it had come with it, and its answer sets it."""
    cookie = new_cookie()
    known = who.headers.get("cookie")
    headers = {**who.headers, "cookie": f"{known}; {cookie}" if known else cookie}

    def answered(outcome: Prediction | Exception) -> None:
        if isinstance(outcome, Prediction):
            outcome.lines += giving(cookie)
        answer(outcome)

    return attrs.evolve(who, headers=headers), answered
