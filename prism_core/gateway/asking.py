"""One prediction on its way through a lane: cache, replica, and again after a lost replica.

Written with callbacks instead of coroutines, so that a small prediction needs no task, future
or timer of its own; docs/explanation/performance.md has what that brought. `Lane.predict` is
the same for whoever may await.
"""

from __future__ import annotations

import asyncio
import math
import time
from functools import partial
from typing import TYPE_CHECKING

from prism_core import wire
from prism_core.errors import (
    DeadlineExceeded,
    InternalError,
    Overloaded,
    PrismError,
    ReplicaLost,
    StillLoading,
)
from prism_core.filling import LARGE_BYTES
from prism_core.gateway.cache import AnswerCache, Kept
from prism_core.gateway.client import ReplicaClient
from prism_core.gateway.prediction import Head, OnAnswer, Prediction
from prism_core.specs import CallRecord

if TYPE_CHECKING:
    from prism_core.gateway.lane import Lane

# When a queue is tried again that does not say when it has room.
ROOM_S = 0.01


class Asking:
    """A prediction that somebody waits for. Made by `Lane.ask`.

    Parameters
    ----------
    lane, head, body
        What is asked of whom.
    deadline
        On the monotonic clock.
    answer
        Called once, unless `cancel` comes first.
    request
        Its X-Request-Id.

    Attributes
    ----------
    done
        Whether it was answered or cancelled.
    """

    __slots__ = (
        "_ahead",
        "_answer",
        "_begun",
        "_body",
        "_call_id",
        "_client",
        "_deadline",
        "_head",
        "_key",
        "_lane",
        "_losses",
        "_request",
        "_second",
        "_timer",
        "done",
    )

    def __init__(
        self,
        lane: Lane,
        head: Head,
        body: bytes | memoryview,
        begun: float,
        deadline: float,
        answer: OnAnswer,
        request: str = "",
    ) -> None:
        self._lane = lane
        self._ahead = lane.in_flight
        self._head = head
        self._body = body
        self._begun = begun
        self._deadline = deadline
        self._answer = answer
        self._request = request
        self._key: bytes | None = None
        self._client: ReplicaClient | None = None
        self._call_id = 0
        self.done = False
        self._losses = 0
        self._second: asyncio.Task[None] | None = None
        self._timer: asyncio.Handle | None = None

    def begin(self) -> None:
        """Look into the cache, else compute; may answer at once."""
        cache = self._lane.cache
        if cache is None or not self._head.cached:
            self._enter()
            return
        if len(self._body) >= LARGE_BYTES:  # a millisecond a megabyte, which others need not wait for
            loop = asyncio.get_running_loop()
            keyed = loop.run_in_executor(None, cache.key, self._head.mark, self._body)
            keyed.add_done_callback(lambda done: self._keyed(cache, done.result()))
        else:
            self._look(cache, cache.key(self._head.mark, self._body))

    def _keyed(self, cache: AnswerCache, key: bytes | None) -> None:
        if not self.done:
            self._look(cache, key)

    def _look(self, cache: AnswerCache, key: bytes | None) -> None:
        self._key = key
        if key is None:
            self._enter()
        elif (kept := cache.lookup(key)) is not None:
            self._found(kept, "hit")
        elif cache.join(key, self):
            self._arm()
        elif cache.second is not None:
            self._arm()
            self._second = asyncio.create_task(self._look_further(cache, key))
        else:
            self._enter()

    def compute(self) -> None:
        """Send it to a replica, or wait for one."""
        lane = self._lane
        client = lane.least_loaded()
        if client is not None:
            self._client = client
            left_s = self._deadline - time.monotonic()
            self._call_id = client.ask(self._head, self._body, left_s, self._replied, self._request)
            if lane.troubles:
                lane.troubles.try_again(self._head, self._body, left_s, self._request)
        elif lane.refusal is not None:
            self._fail(lane.refusal)
        else:
            lane.crowd.be_lenient(time.monotonic())
            self._wait_for_replica()
            lane.wake_up()

    def compute_alone(self, client: ReplicaClient) -> None:
        """Send it to a replica that has nothing else."""
        self._disarm()
        # Not `_client`: it is not dropped when nobody waits any more, so that the next one is alone too.
        left_s = self._deadline - time.monotonic()
        client.ask(self._head, self._body, left_s, partial(self._replied_alone, client), self._request)

    def resume(self) -> None:
        """Go on: a replica came, the lane was closed, or whoever computed the same has gone away."""
        self._disarm()
        if not self.done:
            self.compute()

    def refuse(self, error: PrismError) -> None:
        """Take for an answer that no replica comes."""
        if not self.done:
            self._fail(error)

    def land(self, outcome: Kept | Exception) -> None:
        """Take the outcome of the equal request that was waited for."""
        if self.done:
            return
        if isinstance(outcome, Exception):
            self._end(outcome)
        else:
            self._found(outcome, "coalesced")

    def cancel(self) -> None:
        """Nobody waits any more: the runtime drops it if it can, and nothing is answered."""
        if not self.done:
            self._answer = _nobody
            self._drop(None)

    def expire(self) -> None:
        """Its time is over, before its deadline: the runtime drops it if it can."""
        if not self.done:
            self._drop(self._late())

    # --- on the way ------------------------------------------------------------------

    def _drop(self, outcome: DeadlineExceeded | None) -> None:
        if self._client is not None:
            self._client.cancel(self._call_id)
            self._lane.troubles.failed(self._client, outcome)
        if self._second is not None:
            self._second.cancel()
        self._leave()
        self._end(outcome)

    def _wait_for_replica(self) -> None:
        self._lane.waiting[self] = None
        self._arm(self._head.hold_s or self._lane.hold_s)

    async def _look_further(self, cache: AnswerCache, key: bytes) -> None:
        kept = await cache.fetch(key)
        self._second = None
        if self.done:
            return
        self._disarm()
        if kept is None:
            self._enter()
        else:
            for other in cache.land(key, kept, computed=False):
                other.land(kept)
            self._found(kept, "hit")

    def _enter(self) -> None:
        crowd = self._lane.crowd
        if self._ahead >= crowd.bound:
            self._fail(crowd.refusal)
        else:
            self.compute()

    def _replied(self, reply: wire.AnyFrame | Exception, body: memoryview) -> None:
        client, self._client = self._client, None
        if type(reply) is wire.Reply:
            if self._lane.troubles:
                self._lane.troubles.answered(client)
            self._computed(reply, body)
        else:
            self._lane.troubles.failed(client, reply)
            self._not_computed(client, reply)

    def _not_computed(self, client: ReplicaClient | None, reply: wire.AnyFrame | Exception) -> None:
        if isinstance(reply, ReplicaLost) and client is not None:
            self._lost(client, reply)
        elif isinstance(reply, Overloaded) and self._lane.crowd.is_lenient(time.monotonic()):
            self._ask_later(reply)
        elif isinstance(reply, TimeoutError | DeadlineExceeded):
            # Equal requests that wait for this one may have more time: one of them computes now.
            self._leave()
            self._end(reply if isinstance(reply, DeadlineExceeded) else self._late())
        elif isinstance(reply, Exception):
            self._fail(reply)
        else:
            self._fail(ReplicaLost(f"The replica answered with an unexpected {type(reply).__name__} frame."))

    def _replied_alone(
        self, client: ReplicaClient, reply: wire.AnyFrame | Exception, body: memoryview
    ) -> None:
        if isinstance(reply, ReplicaLost):
            self._lane.remove(client)
        if not self.done:
            self._replied(reply, body)
        self._lane.trials.answered(client)

    def _lost(self, client: ReplicaClient, error: ReplicaLost) -> None:
        """Ask another replica: with all others at first, then alone; the third loss is its own fault."""
        lane = self._lane
        self._losses = 2 if self._losses or client.in_flight <= 1 else 1
        lane.remove(client)
        lane.crowd.be_lenient(time.monotonic())  # those that are left have its share too, for a moment
        if not lane.deterministic:
            self._fail(error)
        elif self._losses == 1 or lane.refusal is not None:
            self.compute()
        else:
            self._stand_trial(error)

    def _stand_trial(self, error: ReplicaLost) -> None:
        """Be asked alone, as it may have ended its replica: ``error`` says so."""
        self._arm(self._head.hold_s or self._lane.hold_s)
        self._lane.trials.add(self)

    def _ask_later(self, refusal: Overloaded) -> None:
        """Ask again when the queue of a replica that has just come should have room for it."""
        told = refusal.details.get("retry_after_s")  # by a runtime, which may be hostile
        wait_s = told if isinstance(told, int | float) and told > 0 else ROOM_S
        if wait_s >= self._deadline - time.monotonic():
            self._fail(refusal)
        else:
            self._timer = asyncio.get_running_loop().call_later(wait_s, self.resume)

    def _computed(self, reply: wire.Reply, body: memoryview) -> None:
        lane, how = self._lane, "bypass"
        answer: bytes | memoryview = body
        if self._key is not None:
            how, answer = "miss", bytes(body)
            self._share(Kept(reply.media_type, reply.rows, answer))
        self._end(
            Prediction(
                answer,
                reply.media_type,
                lane.model,
                lane.version,
                reply.rows,
                how,
                reply.batch_rows,
                reply.queue_us,
                reply.compute_us,
            )
        )

    def _found(self, kept: Kept, how: str) -> None:
        lane = self._lane
        self._end(Prediction(kept.body, kept.media_type, lane.model, lane.version, kept.rows, how))

    def _fail(self, error: Exception) -> None:
        self._share(error)
        self._end(error)

    def _share(self, outcome: Kept | Exception) -> None:
        cache, key = self._lane.cache, self._key
        if cache is not None and key is not None:
            for other in cache.land(key, outcome):
                other.land(outcome)

    def _leave(self) -> None:
        self._lane.waiting.pop(self, None)
        self._lane.trials.waiting.pop(self, None)
        cache, key = self._lane.cache, self._key
        if cache is not None and key is not None:
            successor = cache.leave(key, self)
            if successor is not None:
                successor.resume()

    def _end(self, outcome: Prediction | Exception | None) -> None:
        self.done = True
        self._disarm()
        now = time.monotonic()
        record = _record(self._lane, outcome, now - self._begun)
        self._lane.ended(record)
        if record.batch_rows:
            self._lane.crowd.answered(self._ahead, now)
        if outcome is not None:
            self._answer(outcome)

    # --- the clock, while no replica has it --------------------------------------------

    def _arm(self, most_s: float = math.inf) -> None:
        left_s = max(0.0, self._deadline - time.monotonic())
        loop = asyncio.get_running_loop()
        if most_s < left_s:
            self._timer = loop.call_later(most_s, self._held_too_long)
        else:
            self._timer = loop.call_later(left_s, self._too_late)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_late(self) -> None:
        self._timer = None
        if self._second is not None:
            self._second.cancel()
        self._leave()
        self._end(self._late())

    def _held_too_long(self) -> None:
        self._timer = None
        self._leave()
        held_s, lane = self._head.hold_s or self._lane.hold_s, self._lane
        self._end(
            StillLoading(
                f"{lane.model!r} was not loaded within the {held_s:g} s that the request may wait for that.",
                hint="It is still being loaded: try again, or allow more with X-Scale-Up-Timeout.",
                details={"retry_after_s": max(1.0, lane.load_s)},
            )
        )

    def _late(self) -> DeadlineExceeded:
        return DeadlineExceeded(
            f"{self._lane.model!r} did not answer before the request's deadline.",
            hint="Allow more time (timeout_s), send fewer rows, or add replicas.",
        )


def _record(lane: Lane, outcome: Prediction | Exception | None, total_s: float) -> CallRecord:
    if type(outcome) is Prediction:
        return CallRecord(
            lane.model,
            lane.version,
            200,
            "ok",
            outcome.rows,
            outcome.batch_rows,
            outcome.queue_us / 1e6,
            outcome.compute_us / 1e6,
            total_s,
            outcome.cache,
        )
    status, code = 499, "cancelled"
    if outcome is not None:
        told = outcome if isinstance(outcome, PrismError) else InternalError("")
        status, code = told.status, told.code
    return CallRecord(lane.model, lane.version, status, code, 0, 0, 0.0, 0.0, total_s, "bypass")


def _nobody(outcome: Prediction | Exception) -> None:
    """Take the answer of a request that was cancelled."""
