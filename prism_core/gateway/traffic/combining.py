"""Have the answers of an ensemble's members combined: one frame to a runtime of one of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from prism_core import wire
from prism_core.errors import DeadlineExceeded, PrismError, ReplicaLost
from prism_core.gateway.client import NOTHING, ReplicaClient
from prism_core.gateway.prediction import Head

if TYPE_CHECKING:
    from prism_core.gateway.lane import Lane

# A request that ends so many replicas while their answers are combined asks no more of them.
LOSSES = 2

# Called once with the reply and its body, or with why there is none.
OnCombined = Callable[[wire.Reply | Exception, memoryview], None]


class Combining:
    """Combines; the least loaded replica of a member that answered does it, another one where it dies.

    It is no prediction: the lanes neither count nor record it. Where nothing is loaded any more (answers
    were kept), it waits until a replica is.

    Parameters
    ----------
    lanes
        Of the members that answered.
    head, body
        The client's request.
    combination, answers
        How, and what the members answered, by their places in it; see `wire.Combine`.
    deadline
        On the monotonic clock.
    answer
        Called once, unless `cancel` comes first.
    """

    __slots__ = (
        "_answer",
        "_answers",
        "_body",
        "_call_id",
        "_client",
        "_combination",
        "_deadline",
        "_head",
        "_lanes",
        "_losses",
        "_request",
        "_timer",
        "_waiting_in",
        "done",
    )

    def __init__(
        self,
        lanes: Sequence[Lane],
        head: Head,
        body: bytes | memoryview,
        combination: bytes,
        answers: Mapping[int, bytes | memoryview],
        deadline: float,
        answer: OnCombined,
        request: str,
    ) -> None:
        self._lanes = lanes
        self._head = head
        self._body = body
        self._combination = combination
        self._answers = answers
        self._deadline = deadline
        self._answer = answer
        self._request = request
        self._client: ReplicaClient | None = None
        self._call_id = 0
        self._losses = 0
        self._timer: asyncio.TimerHandle | None = None
        self._waiting_in: Lane | None = None
        self.done = False

    def resume(self) -> None:
        """Send it to a replica, or wait for one."""
        self._leave()
        if self.done:
            return
        clients = [client for lane in self._lanes for client in lane.clients]
        if clients:
            client = self._client = min(clients, key=_in_flight)
            left_s = self._deadline - time.monotonic()
            self._call_id = client.combine(
                self._head, self._combination, self._answers, self._body, left_s, self._replied, self._request
            )
        else:
            self._wait()

    def refuse(self, error: PrismError) -> None:
        """Take for an answer that no replica comes."""
        self._end(error)

    def cancel(self) -> None:
        """Nobody waits any more."""
        if self.done:
            return
        self.done = True
        self._leave()
        if self._client is not None:
            self._client.cancel(self._call_id)

    def _wait(self) -> None:
        lane = next((lane for lane in self._lanes if lane.refusal is None), None)
        if lane is None:
            self._end(self._lanes[0].refusal or _lost())
            return
        left_s = max(0.0, self._deadline - time.monotonic())
        self._timer = asyncio.get_running_loop().call_later(left_s, self._too_late)
        self._waiting_in = lane
        lane.waiting[self] = None
        lane.wake_up()

    def _leave(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting_in is not None:
            self._waiting_in.waiting.pop(self, None)
            self._waiting_in = None

    def _replied(self, reply: wire.AnyFrame | Exception, body: memoryview) -> None:
        self._client = None
        if type(reply) is wire.Reply:
            self._end(reply, body)
        elif isinstance(reply, ReplicaLost) and self._losses < LOSSES:
            self._losses += 1
            self.resume()
        elif isinstance(reply, TimeoutError):
            self._too_late()
        else:
            self._end(reply if isinstance(reply, Exception) else _lost())

    def _too_late(self) -> None:
        self._end(
            DeadlineExceeded(
                "The members' answers were not combined before the request's deadline.",
                hint="Allow more time (timeout_s), or send fewer rows.",
            )
        )

    def _end(self, outcome: wire.Reply | Exception, body: memoryview = NOTHING) -> None:
        if not self.done:
            self.done = True
            self._leave()
            self._answer(outcome, body)


def _in_flight(client: ReplicaClient) -> int:
    return client.in_flight


def _lost() -> ReplicaLost:
    return ReplicaLost("No replica is left that could combine the members' answers.", hint="Try again.")
