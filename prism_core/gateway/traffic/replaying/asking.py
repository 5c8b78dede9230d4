"""Asks one version beside its live traffic.

Its replicas are asked directly: what is asked here is in no cache, in no metric and no call of anybody, and
whoever asks the version for real is never refused because of it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from prism_core import wire
from prism_core.errors import DeadlineExceeded, InternalError, PrismError, ReplicaLost
from prism_core.gateway.prediction import Head
from prism_core.traffic.comparing import Answer

if TYPE_CHECKING:
    from prism_core.gateway.lane import Lane

# One more is not sent, and fails: an open loop must not wait, and memory is not endless.
MOST_IN_FLIGHT, MOST_BYTES = 512, 64 * 1024 * 1024
# What fails here, and nobody has answered.
CROWDED, NOT_LOADED = "too_many_in_flight", "not_loaded"

OnAnswer = Callable[[Answer], None]


class Side:
    """A version that is asked.

    Parameters
    ----------
    reference
        What it is called: ``churn/3``.
    most
        Questions in flight at once.

    Attributes
    ----------
    in_flight
        Questions that have begun and not ended.
    most_in_flight
        The most there were at once.
    """

    def __init__(self, reference: str, lane: Lane, most: int = MOST_IN_FLIGHT) -> None:
        self.reference = reference
        self.lane = lane
        self.in_flight = 0
        self.most_in_flight = 0
        self._most = most
        self._bytes = 0
        self._loop = asyncio.get_running_loop()

    @property
    def busy(self) -> bool:
        """Whether somebody asks the version for real."""
        return self.lane.in_flight > 0

    def ask(self, head: Head, body: bytes, request: str, due: float, answer: OnAnswer) -> None:
        """Send a question; ``answer`` is called once, its time is counted from ``due`` (monotonic).

        Raises
        ------
        PrismError
            If the version is not served any more.
        """
        if self.lane.refusal is not None:
            raise self.lane.refusal
        client = self.lane.least_loaded()
        size = len(body)
        if client is None or self.in_flight >= self._most or self._bytes + size > MOST_BYTES:
            if client is None:
                self.lane.wake_up()
            self._loop.call_soon(answer, Answer(code=CROWDED if client else NOT_LOADED))
            return
        self.in_flight += 1
        self._bytes += size
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        replied = partial(self._replied, size, due, answer)
        client.ask(head, body, self.lane.manifest.timeout_s, replied, request)

    def _replied(
        self, size: int, due: float, answer: OnAnswer, reply: wire.AnyFrame | Exception, body: memoryview
    ) -> None:
        self.in_flight -= 1
        self._bytes -= size
        took_s = time.monotonic() - due
        if isinstance(reply, wire.Reply):
            answer(Answer(reply.media_type, bytes(body), "ok", took_s))
        else:
            answer(Answer(code=_code_of(reply), latency_s=took_s))


def _code_of(reply: wire.AnyFrame | Exception) -> str:
    if isinstance(reply, TimeoutError):
        return DeadlineExceeded.code
    if isinstance(reply, PrismError):
        return reply.code
    return InternalError.code if isinstance(reply, Exception) else ReplicaLost.code
