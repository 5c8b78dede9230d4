"""Hedged requests: where one replica is slow, another of the same version is asked too.

The first answer wins. The other question is cancelled in its runtime where it waits behind others; one that
is computed already cannot be broken off, and its replica counts as busy until it ends: to forget it would
lead the next request to the very replica that is slow. It happens within one `Asking`: to the cache, to
whoever asks and to what is counted it stays one request.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from prism_core import wire
from prism_core.errors import DeadlineExceeded, ReplicaLost, RequestError
from prism_core.filling import LARGE_BYTES
from prism_core.gateway.asking import Asking
from prism_core.gateway.client import ReplicaClient
from prism_core.gateway.prediction import Prediction
from prism_core.gateway.traffic.askings import Impatient
from prism_core.gateway.traffic.kinds import Hedged as HedgedRecord
from prism_core.gateway.traffic.kinds import TrafficRecord
from prism_core.gateway.traffic.steps import AskStep
from prism_core.traffic.hedge import Budget, Hedge, RecentTimes
from prism_core.traffic.route import Route

if TYPE_CHECKING:
    from prism_core.gateway.lane import Lane

# Below that a second question costs more than it brings.
SOONEST_S = 0.001

LINE = b"x-prism-hedged: 1\r\n"


class Hedger:
    """What the hedged requests of one version share, as one route asks it.

    Parameters
    ----------
    policy
        When and how often.
    tell
        Hears what became of a second question: ``asked``, ``won``, ``no_budget`` or ``no_room``.
    """

    __slots__ = ("_after_s", "_budget", "_percent", "_times", "policy", "tell")

    def __init__(self, policy: Hedge, tell: Callable[[str], None]) -> None:
        self.tell = tell
        self._budget = Budget()
        self.follow(policy)

    def follow(self, policy: Hedge) -> None:
        """Go by a policy from now on."""
        self.policy = policy
        self._percent = policy.budget_percent
        self._after_s = policy.after_ms / 1000
        self._times = RecentTimes(policy.percentile)

    def begin(self) -> float:
        """Hear of a request that a replica has got; return when another is asked, in seconds, 0 for never."""
        self._budget.earn(self._percent)
        return self._after_s or (max(SOONEST_S, most_s) if (most_s := self._times.most_s) else 0.0)

    def heard(self, seconds: float) -> None:
        """Hear how long a first replica took, or how long it took at least."""
        if not self._after_s:
            self._times.add(seconds)

    def may_ask(self) -> bool:
        """Return whether the budget has a second question; it is spent then."""
        return self._budget.spend()


class Hedged(Asking):
    """A prediction of which a second replica is asked where the first is slow, once at most."""

    __slots__ = ("_asked_at", "_clock", "_hedger", "_other", "_twice")

    def __init__(self, hedger: Hedger, *asked: Any) -> None:
        super().__init__(*asked)
        self._hedger = hedger
        self._asked_at = 0.0
        self._clock: asyncio.TimerHandle | None = None
        # The second question, while both are open.
        self._other: tuple[ReplicaClient, int] | None = None
        self._twice = False

    def compute(self) -> None:
        """Send it to a replica, and to another one later."""
        super().compute()
        if self._client is None or self._asked_at:
            return
        self._asked_at = time.monotonic()
        after_s = self._hedger.begin()
        if after_s and len(self._lane.clients) > 1 and len(self._body) < LARGE_BYTES:
            self._clock = asyncio.get_running_loop().call_later(after_s, self._ask_another)

    def _ask_another(self) -> None:
        self._clock = None
        lane, first = self._lane, self._client
        if first is None:
            return
        other = min((one for one in lane.clients if one is not first), key=_in_flight, default=None)
        # It must help: not where all have much to do, and not by a replica that has more.
        if other is None or other.in_flight > first.in_flight or lane.in_flight >= lane.crowd.bound:
            self._hedger.tell("no_room")
        elif not self._hedger.may_ask():
            self._hedger.tell("no_budget")
        else:
            self._twice = True
            left_s = self._deadline - time.monotonic()
            call_id = other.ask(self._head, self._body, left_s, self._other_replied, self._request)
            self._other = (other, call_id)
            self._hedger.tell("asked")

    # --- which of the two answers ----------------------------------------------------------

    def _replied(self, reply: wire.AnyFrame | Exception, body: memoryview) -> None:
        first, other = self._client, self._other
        if self._asked_at and type(reply) is wire.Reply:
            self._hedger.heard(time.monotonic() - self._asked_at)
        if other is not None and first is not None and not _settles(reply):
            self._gone(first, reply)
            (self._client, self._call_id), self._other = other, None
            return
        super()._replied(reply, body)

    def _other_replied(self, reply: wire.AnyFrame | Exception, body: memoryview) -> None:
        first, other = self._client, self._other
        if other is None:  # the first has failed, and this one is in its place
            super()._replied(reply, body)
            return
        self._other = None
        if not _settles(reply):
            self._gone(other[0], reply)
            return
        assert first is not None
        first.let_go(self._call_id, partial(_ended, self._lane, first))
        self._client = other[0]
        # The first would have taken longer still; that it took more than most did is what counts.
        self._hedger.heard(time.monotonic() - self._asked_at)
        self._hedger.tell("won")
        super()._replied(reply, body)

    def _gone(self, client: ReplicaClient, failure: wire.AnyFrame | Exception) -> None:
        """Take note of one that has failed while another may still answer."""
        self._lane.troubles.failed(client, failure)
        if isinstance(failure, ReplicaLost):
            self._losses = 1
            self._lane.remove(client)
            self._lane.crowd.be_lenient(time.monotonic())

    def _end(self, outcome: Prediction | Exception | None) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None
        if self._other is not None:
            (client, call_id), self._other = self._other, None
            if outcome is None:  # nobody waits any more
                client.cancel(call_id)
            else:
                client.let_go(call_id, partial(_ended, self._lane, client))
        if self._twice and type(outcome) is Prediction:
            outcome.lines += LINE
        super()._end(outcome)


class HedgedImpatient(Hedged, Impatient):
    """One that does not wait where no replica is loaded."""

    __slots__ = ()


_HOW: dict[type[Asking], type[Hedged]] = {Asking: Hedged, Impatient: HedgedImpatient}


class Hedgers:
    """All hedgers of a gateway process. A `Hedging` of routes.

    Budgets and times outlive changes of the route and new replicas: they are about the version.
    """

    def __init__(self, record: Callable[[TrafficRecord], None]) -> None:
        self._record = record
        self._kept: dict[tuple[str, str], Hedger] = {}

    def __call__(self, model: str, route: Route, lane: Lane, how: type[Asking]) -> AskStep:
        """Return what asks a lane as the route says; a model that draws lots is never asked twice."""
        if route.hedge is None or not lane.deterministic or how not in _HOW:
            return partial(lane.ask, how=how)
        return partial(lane.ask, how=partial(_HOW[how], self._of(model, lane, route.hedge)))

    def _of(self, model: str, lane: Lane, policy: Hedge) -> Hedger:
        key = (model, f"{lane.model}/{lane.version}")
        found = self._kept.get(key)
        if found is None:
            found = self._kept[key] = Hedger(policy, partial(self._tell, *key))
        elif found.policy != policy:
            found.follow(policy)
        return found

    def _tell(self, model: str, arm: str, what: str) -> None:
        self._record(HedgedRecord(model, arm, what))


def _settles(reply: wire.AnyFrame | Exception) -> bool:
    """Return whether a reply ends the request while another may come: another could say nothing else."""
    return type(reply) is wire.Reply or isinstance(reply, RequestError | TimeoutError | DeadlineExceeded)


def _ended(lane: Lane, client: ReplicaClient, reply: wire.AnyFrame | Exception, body: memoryview) -> None:
    """Hear of a question after its request was answered: only the replica is judged by it."""
    if type(reply) is not wire.Reply:
        lane.troubles.failed(client, reply)
    elif lane.troubles:
        lane.troubles.answered(client)


def _in_flight(client: ReplicaClient) -> int:
    return client.in_flight
