"""Asks shadows what was answered before, in the gaps of live traffic.

When a question is asked nothing that a caller waits for is in flight in this gateway. Something may come a
moment later; but a shadow has one question at a time, and under traffic for a small part of it.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import attrs

from prism_core import wire
from prism_core.errors import DeadlineExceeded, InternalError, PrismError, ReplicaLost
from prism_core.filling import LARGE_BYTES
from prism_core.gateway.prediction import Prediction
from prism_core.gateway.traffic.journey import Ended
from prism_core.gateway.traffic.kinds import TrafficRecord
from prism_core.gateway.traffic.routed import Routed, Tap
from prism_core.gateway.traffic.shadows.pairing import Answered, Pairing
from prism_core.gateway.traffic.shadows.questions import Pair, Question, Questions
from prism_core.traffic.comparing import Answer, Tolerance
from prism_core.traffic.shadowing import Pace, sampled
from prism_core.traffic.targets import Shadow

if TYPE_CHECKING:
    from prism_core.gateway.client import ReplicaClient
    from prism_core.gateway.lane import Lane

# Questions in flight at once in one process; of one shadow it is one.
MOST_ASKED = max(1, (os.cpu_count() or 1) // 2)
# A larger answer is not compared: reading it would keep the interpreter's lock for milliseconds.
MOST_ANSWER_BYTES = 64 * 1024
# Whoever is slower fails.
LONGEST_S = 30.0
# How often it is looked whether live traffic has a gap.
LOOK_S = 0.01
# A shadow that is not loaded is woken; one that cannot be loaded again after twice as long each time.
WAKE_S, LONGEST_WAKE_S = 1.0, 300.0
# Answers that took as long as it took to compute them.
COMPUTED = frozenset({"miss", "bypass"})


class Chosen:
    """A shadow of a route, and its lane."""

    def __init__(self, model: str, shadow: Shadow, lane: Lane) -> None:
        self.lane = lane
        self.percent = shadow.percent
        self.tolerance = Tolerance(shadow.tolerance, shadow.tolerance_percent / 100)
        self._model, self._name = model, f"{lane.model}/{lane.version}"
        self._pairs: dict[str, Pair] = {}

    def pair(self, live: str) -> Pair:
        """Return the pair with a version that answered."""
        pair = self._pairs.get(live)
        if pair is None:
            pair = self._pairs[live] = Pair(self._model, live, self._name)
        return pair


@attrs.define(eq=False)
class Shadows:
    """The shadows of all routes of one gateway process. Made by `open_shadows`."""

    pairing: Pairing
    questions: Questions
    pace: Pace = attrs.field(factory=Pace)
    _lanes: tuple[Lane, ...] = ()
    _calls: int = 0
    _asked: dict[Question, tuple[ReplicaClient, int]] = attrs.field(factory=dict)
    _timer: asyncio.TimerHandle | None = None
    _wakes: WeakKeyDictionary[Lane, tuple[float, float]] = attrs.field(factory=WeakKeyDictionary)
    _closed: bool = False
    _loop: asyncio.AbstractEventLoop = attrs.field(factory=asyncio.get_running_loop)

    def tap(self, routed: Routed) -> Tap | None:
        """Return what hands the requests of a route on to its shadows; None where it has none."""
        model, lanes = routed.model, routed.lanes
        named = ((shadow, lanes.get(shadow.reference(model))) for shadow in routed.route.shadow)
        chosen = [Chosen(model, shadow, lane) for shadow, lane in named if lane is not None]
        wanted = {one.lane for one in chosen}
        self.questions.keep(lambda one: one.pair.model != model or one.lane in wanted)
        if not chosen:
            return None
        self._lanes = tuple({id(lane): lane for lane in lanes.values()}.values())
        return partial(self.ended, chosen)

    def ended(self, chosen: Sequence[Chosen], ended: Ended) -> None:
        """Take a request that was answered."""
        now, call = time.monotonic(), ended.call
        self.pace.live(now)
        for one in chosen:
            if sampled(call.request, one.percent):
                # Of an ensemble it is the arm that answers, in the name of a version.
                pair = one.pair(call.answered if call.failure and call.answered else call.arm)
                if pair.live != pair.shadow:
                    self._offer(pair, one, ended, now)

    def close(self) -> None:
        """Ask nothing more, and wait for no answer."""
        self._closed = True
        self.questions.keep(lambda one: False)
        for client, call_id in self._asked.values():
            client.cancel(call_id)
        self._asked.clear()
        self._disarm()

    # --- what is to be asked -----------------------------------------------------------

    def _offer(self, pair: Pair, one: Chosen, ended: Ended, now: float) -> None:
        if why := self._why_not(one.lane, ended, now):
            self.pairing.drop(pair, why)
            return
        call = ended.call
        body, live = bytes(ended.body), _live(ended)
        self.questions.put(
            Question(
                pair,
                one.lane,
                ended.head,
                body,
                call.request,
                call.revision,
                call.arm,
                live,
                one.tolerance,
                now,
            )
        )
        self._go_on()

    def _why_not(self, lane: Lane, ended: Ended, now: float) -> str:
        if not lane.clients:
            self._wake(lane)
            return "not_loaded"
        if not self.questions.has_room(now):
            return "busy"
        outcome, size = ended.outcome, len(ended.body)
        if isinstance(outcome, Prediction):
            if not outcome.version:
                return "no_version"  # a fallback's value
            if len(outcome.body) > MOST_ANSWER_BYTES:
                return "large"
        return "large" if size >= LARGE_BYTES else ""

    def _wake(self, lane: Lane) -> None:
        """Wake a shadow that is not loaded, once, and after a while again if nothing came of it."""
        now = time.monotonic()
        at, pause_s = self._wakes.get(lane, (0.0, WAKE_S))
        if now >= at and lane.refusal is None:
            self._wakes[lane] = (now + pause_s, min(LONGEST_WAKE_S, pause_s * 2))
            lane.wake_up()

    # --- asking ------------------------------------------------------------------------

    def _go_on(self) -> None:
        """Ask what may be asked now, and look again later for the rest."""
        while not self._closed and self.questions and len(self._asked) < MOST_ASKED and self._timer is None:
            now = time.monotonic()
            wait_s = LOOK_S if self._is_live(now) else self.pace.wait_s(now)
            if wait_s:
                self._timer = self._loop.call_later(max(LOOK_S, wait_s), self._look)
                return
            question = self.questions.take(self._is_busy, now)
            if question is None:
                return
            self._ask(question)

    def _is_live(self, now: float) -> bool:
        """Return whether a caller waits for anything here; take note of those who did since the last look."""
        calls = sum(client.calls for lane in self._lanes for client in lane.clients)
        in_flight = any(lane.in_flight for lane in self._lanes)
        if in_flight or calls > self._calls:
            self.pace.live(now)
        self._calls = calls
        return in_flight

    def _look(self) -> None:
        self._timer = None
        self._go_on()

    def _is_busy(self, question: Question) -> bool:
        return any(other.lane is question.lane for other in self._asked)

    def _ask(self, question: Question) -> None:
        lane = question.lane
        client = lane.least_loaded()
        if client is None:
            self.pairing.drop(question.pair, "not_loaded")
            return
        self._wakes.pop(lane, None)
        # Past the lane: nothing of this is a call of its version, neither cached nor counted.
        timeout_s = min(lane.manifest.timeout_s, LONGEST_S)
        heard = partial(self._heard, question, time.monotonic())
        call_id = client.ask(question.head, question.body, timeout_s, heard, question.request)
        self._asked[question] = client, call_id
        self._calls += 1

    def _heard(
        self, question: Question, begun: float, reply: wire.AnyFrame | Exception, body: memoryview
    ) -> None:
        if self._asked.pop(question, None) is None:
            return
        now = time.monotonic()
        self.pace.answered(now - begun, now)
        if isinstance(reply, ReplicaLost) and question.lane.refusal is not None:
            self.pairing.drop(question.pair, "stopped")
        elif len(body) > MOST_ANSWER_BYTES:
            self.pairing.drop(question.pair, "large")
        else:
            asked = attrs.evolve(question, body=b"")  # which nobody needs any more
            self.pairing.add(Answered(asked, _shadows(reply, body, now - begun)))
        self._go_on()

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _live(ended: Ended) -> Answer:
    outcome, call = ended.outcome, ended.call
    if not isinstance(outcome, Prediction):
        return Answer(code=call.code)
    latency_s = call.total_s if call.cache in COMPUTED else -1.0
    return Answer(outcome.media_type, bytes(outcome.body), latency_s=latency_s)


def _shadows(reply: wire.AnyFrame | Exception, body: memoryview, took_s: float) -> Answer:
    if isinstance(reply, wire.Reply):
        return Answer(reply.media_type, bytes(body), latency_s=took_s)
    if isinstance(reply, PrismError):
        return Answer(code=reply.code)
    late = isinstance(reply, TimeoutError)
    return Answer(code=DeadlineExceeded.code if late else InternalError.code)


def shadows_of(record: Callable[[TrafficRecord], None]) -> Shadows:
    """Return the shadows of a process; whoever asks for them closes them. See `open_shadows`."""
    pairing = Pairing(record)
    return Shadows(pairing, Questions(lambda question, why: pairing.drop(question.pair, why)))


@asynccontextmanager
async def open_shadows(record: Callable[[TrafficRecord], None]) -> AsyncIterator[Shadows]:
    """Run the shadows of a process; what they have answered is compared and reported before it ends."""
    shadows = shadows_of(record)
    try:
        yield shadows
    finally:
        shadows.close()
        await shadows.pairing.finish()
