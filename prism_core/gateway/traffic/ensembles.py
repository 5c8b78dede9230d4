"""Routes whose versions answer together: who is asked, and how the answers become one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING

import attrs
import msgspec

from prism_core.errors import InvalidRoute, ModelFailed, TooFewMembers
from prism_core.gateway.asking import Asking
from prism_core.gateway.prediction import Head, OnAnswer
from prism_core.gateway.traffic.steps import AskStep, Step, absent_step
from prism_core.gateway.traffic.together import Together
from prism_core.traffic.combination import Uncombinable, check_stack, combination_of, only, signature_of
from prism_core.traffic.ensemble import Ensemble
from prism_core.types import Signature

if TYPE_CHECKING:
    from prism_core.gateway.lane import Lane
    from prism_core.gateway.registry import Registry
    from prism_core.gateway.traffic.routed import Routed

# Weight of the newest measurement, and what combining takes before there is one.
SMOOTHING = 0.2
FIRST_S = 0.001
# Members have this much of the deadline, however long combining took lately.
MEMBERS_SHARE = 0.5

_encode = msgspec.msgpack.Encoder().encode


@attrs.define
class Cost:
    """How long combining has taken lately, in seconds."""

    seconds: float = FIRST_S

    def hear(self, seconds: float) -> None:
        """Learn from one more."""
        self.seconds += SMOOTHING * (seconds - self.seconds)


@attrs.frozen
class Asked:
    """One member that is served: ``ask`` asks its ``lane``."""

    lane: Lane
    ask: AskStep
    reference: str


@attrs.define(eq=False)
class Plan:
    """How one ensemble answers, as its members are served now.

    Parameters
    ----------
    members
        Those that are served, in the order of the route.
    absent
        References of those that are not.
    needed
        How many must have answered.
    deadline_s
        When those that have are combined; infinity for the request's own deadline.
    combination
        How, as `wire.Combine` has it.
    cost
        What that takes.
    stack, only
        Who is asked with their columns, and how its answer is passed on; None and b"" for nobody.

    Attributes
    ----------
    open
        Requests that have begun and not ended.
    """

    members: tuple[Asked, ...]
    absent: tuple[str, ...]
    needed: int
    deadline_s: float
    combination: bytes
    cost: Cost
    stack: Asked | None = None
    only: bytes = b""
    open: int = attrs.field(default=0, init=False)
    _lines: dict[tuple[int, ...], bytes] = attrs.field(factory=dict, init=False)

    def line(self, used: tuple[int, ...]) -> bytes:
        """Return the header line that says which members an answer is of."""
        known = self._lines.get(used)
        if known is None:
            told = ",".join(self.members[at].reference for at in used)
            known = self._lines[used] = b"x-prism-members-used: %b\r\n" % told.encode()
        return known

    def too_few(self, failed: Mapping[str, str]) -> TooFewMembers:
        """Return the error for which there is no answer: ``failed`` has the code of each that failed."""
        failed = {**dict.fromkeys(self.absent, "not_served"), **failed}
        total = len(self.members) + len(self.absent)
        told = ", ".join(f"{reference}: {code}" for reference, code in failed.items())
        return TooFewMembers(
            f"Of {total} members {len(failed)} did not answer ({told}); the ensemble needs {self.needed}.",
            hint="Ask the members by themselves, allow more time (deadline_ms), or need fewer.",
            details={"failed": failed, "need": self.needed},
        )

    def unstackable(self, error: Exception) -> ModelFailed:
        """Return the error of a stack that does not take its members' columns."""
        assert self.stack
        return ModelFailed(
            f"{self.stack.reference} does not take the members' answers: {error}",
            hint="Its columns are the members in the order of the route, each with all its probabilities.",
        )


@attrs.frozen(eq=False)
class EnsembleStep(Step):
    """The step of an ensemble: what it takes and answers, and the references of those that are asked."""

    signature: Signature = attrs.field(kw_only=True)
    members: tuple[str, ...] = attrs.field(kw_only=True)


@attrs.define(eq=False)
class Ensembles:
    """Makes the first step of routes with an ensemble; remembers what combining costs, by model."""

    _costs: dict[str, Cost] = attrs.field(factory=dict)

    def __call__(self, routed: Routed) -> Step:
        """Return the step of a route."""
        ensemble = routed.route.ensemble
        assert ensemble is not None
        arm = f"{routed.model}/ensemble"
        lanes = {share.reference(routed.model): share.weight for share in ensemble.members}
        served = {name: routed.lanes[name] for name in lanes if name in routed.lanes}
        stack = ensemble.stack.reference(routed.model) if ensemble.stack else ""
        if not served or (stack and stack not in routed.lanes):
            missing = stack if served else next(iter(lanes))
            return absent_step(arm, partial(routed.explain, missing))
        try:
            plan, signature = self._plan(routed, ensemble, served, lanes)
        except Uncombinable as error:
            return absent_step(arm, partial(_uncombinable, str(error)))
        own_s = max(lane.manifest.timeout_s for lane in served.values())
        timeout_s = routed.route.timeout_ms / 1000 or math.inf
        members = tuple(member.reference for member in plan.members)
        return EnsembleStep(
            arm, partial(ask, plan), timeout_s=timeout_s, own_s=own_s, signature=signature, members=members
        )

    def _plan(
        self, routed: Routed, ensemble: Ensemble, served: Mapping[str, Lane], weights: Mapping[str, float]
    ) -> tuple[Plan, Signature]:
        facts = [(lane.model, lane.version, weights[name], lane.signature) for name, lane in served.items()]
        combination, passed, stack = combination_of(ensemble, facts), b"", None
        signature = signature_of(combination, facts[0][3])
        if ensemble.stack:
            stack = routed.lanes[ensemble.stack.reference(routed.model)]
            check_stack(facts, stack.signature)
            passed = _encode(only(stack.model, stack.version, stack.signature))
            signature = attrs.evolve(stack.signature, inputs=signature.inputs, columnar=signature.columnar)
        plan = Plan(
            tuple(_asked(routed, lane) for lane in served.values()),
            tuple(name for name in weights if name not in served),
            ensemble.needed,
            ensemble.deadline_ms / 1000 or math.inf,
            _encode(combination),
            self._costs.setdefault(routed.model, Cost()),
            _asked(routed, stack) if stack else None,
            passed,
        )
        return plan, signature


def ask(
    plan: Plan,
    head: Head,
    body: bytes | memoryview,
    timeout_s: float,
    answer: OnAnswer,
    request: str = "",
) -> Together | None:
    """Begin a request; see `Lane.ask`.

    Requests that wait are bounded as those of its members are: each lane refuses what is too much for it,
    and no more are open here than the most patient of them takes.
    """
    crowd = max((member.lane.crowd for member in plan.members), key=lambda crowd: crowd.bound)
    if plan.open >= crowd.bound:
        answer(crowd.refusal)
        return None
    plan.open += 1
    together = Together(plan, head, body, timeout_s, answer, request)
    most_s = min(plan.deadline_s, timeout_s)
    together.begin(max(most_s - plan.cost.seconds, most_s * MEMBERS_SHARE))
    return together


def check_members(registry: Registry, own: str, ensemble: Ensemble) -> None:
    """See whether the members of an ensemble can be combined, as far as their signatures are known.

    Raises
    ------
    InvalidRoute
        If they cannot.
    """
    facts = list(_known(registry, own, ensemble))
    names = [f"{model}/{version}" for model, version, _, _ in facts]
    twice = next((name for name in names if names.count(name) > 1), "")
    if twice:
        raise InvalidRoute(f"ensemble.members: two of them are {twice}; a weight makes it count more.")
    if len(facts) < len(ensemble.members):
        return  # it is told with the first request
    try:
        combination_of(ensemble, facts)
        stack = registry.find(ensemble.stack.reference(own)) if ensemble.stack else None
        if stack and stack.signature:
            check_stack(facts, stack.signature)
    except Uncombinable as error:
        raise InvalidRoute(
            f"ensemble: {ensemble.combine} does not go with these members: {error}",
            hint="prism show MODEL tells what each answers.",
        ) from error


def _known(registry: Registry, own: str, ensemble: Ensemble) -> Iterator[tuple[str, int, float, Signature]]:
    for share in ensemble.members:
        version = registry.find(share.reference(own))
        if version.signature:
            yield version.manifest.model, version.manifest.version, share.weight, version.signature


def _asked(routed: Routed, lane: Lane) -> Asked:
    """Return a member; a slow one is hedged where the route says so."""
    hedging, route = routed.routing.hedging, routed.route
    ask_lane = hedging(routed.model, route, lane, Asking) if route.hedge is not None else lane.ask
    return Asked(lane, ask_lane, f"{lane.model}/{lane.version}")


def _uncombinable(why: str) -> ModelFailed:
    return ModelFailed(
        f"The members of the ensemble cannot be combined: {why}", hint="Change the route: prism route MODEL."
    )
