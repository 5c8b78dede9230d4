"""The steps of a route: who is asked for what was chosen, and who after that. Made when the route is."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from prism_core.errors import PrismError
from prism_core.gateway.asking import Asking
from prism_core.gateway.traffic.askings import Impatient, Suspect
from prism_core.gateway.traffic.circuits import Circuits
from prism_core.gateway.traffic.steps import AskStep, Step, absent_step, value_step
from prism_core.traffic.route import Route

if TYPE_CHECKING:
    from prism_core.gateway.lane import Lane

# Asks a lane, instead of itself: with a route, the lane, and how it is asked where it has no replica.
Hedging = Callable[[str, Route, "Lane", type[Asking]], AskStep]

Chain = tuple[Step, ...]


class Chains:
    """Makes the chains of one route: a chosen step, and the fallbacks behind it.

    Parameters
    ----------
    model, route
        Whose route.
    lanes
        What is served, by reference.
    explain
        Returns why a reference is not served.
    circuits
        Of the process.
    hedging
        Asks the lanes where the route says so.
    """

    def __init__(
        self,
        model: str,
        route: Route,
        lanes: Mapping[str, Lane],
        explain: Callable[[str], PrismError],
        circuits: Circuits,
        hedging: Hedging,
    ) -> None:
        self._model = model
        self._route = route
        self._lanes = lanes
        self._explain = explain
        self._circuits = circuits
        self._hedging = hedging if route.hedge is not None else None
        self._timeout_s = route.timeout_ms / 1000 or math.inf

    @property
    def has_fallbacks(self) -> bool:
        """Whether somebody answers for a version that does not."""
        return any(
            one.value is not None or one.reference(self._model) in self._lanes for one in self._route.fallback
        )

    def behind(self, reference: str, *, value: bool = True) -> Chain:
        """Return the chain of a version; without ``value`` where no value may be the answer."""
        lane = self._lanes.get(reference)
        fallbacks = self._fallbacks(lane, value=value)
        if lane is None:
            own = {"own_s": fallbacks[0].own_s} if fallbacks else {}
            return (absent_step(reference, lambda: self._explain(reference), **own), *fallbacks)
        return (self._step(lane, last=not fallbacks), *fallbacks)

    def behind_step(self, step: Step, *, value: bool = True) -> Chain:
        """Return the chain of a step that somebody else has made."""
        return (step, *self._fallbacks(step.lane, value=value))

    def _fallbacks(self, chosen: Lane | None, *, value: bool) -> Chain:
        """Return the steps after ``chosen``: nobody is asked twice, and nothing comes after a value."""
        model, lanes, found = self._model, self._lanes, []
        last: tuple[Step, ...] = ()
        for one in self._route.fallback:
            if one.value is not None:
                last = (value_step(model, one.value),) if value else ()
                break
            lane = lanes.get(one.reference(model))
            if lane is not None and lane is not chosen and lane not in found:
                found.append(lane)
        return (*(self._step(lane, last=not last and lane is found[-1]) for lane in found), *last)

    def _step(self, lane: Lane, *, last: bool) -> Step:
        return Step(
            f"{lane.model}/{lane.version}",
            self._ask(lane, Asking if last else Impatient),
            lane,
            self._timeout_s,
            lane.manifest.timeout_s,
            self._circuits.of(self._model, lane, self._route.circuit),
            partial(lane.ask, how=Suspect),
        )

    def _ask(self, lane: Lane, how: type[Asking]) -> AskStep:
        if self._hedging is not None:
            return self._hedging(self._model, self._route, lane, how)
        return lane.ask if how is Asking else partial(lane.ask, how=how)
