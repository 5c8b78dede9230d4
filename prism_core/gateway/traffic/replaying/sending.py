"""Sends recorded requests to two versions when they are due, whether or not those before are answered."""

from __future__ import annotations

import asyncio
import random
import time
from array import array
from collections.abc import AsyncIterator, Awaitable, Callable

import attrs

from prism_core.fitting.tensors import MEDIA_TYPE as TENSORS
from prism_core.gateway.prediction import Head
from prism_core.gateway.traffic.recordings.exchange import Exchange
from prism_core.gateway.traffic.replaying.asking import Side
from prism_core.traffic.comparing import Answer, inference
from prism_core.traffic.comparing.answers import JSON, plain
from prism_core.traffic.replaying.pacing import Pacing, wait_s

# So many in a row that are late before everybody else on the loop has a turn.
BURST = 16
# In flight at once where the pace is that of the answers; how often it is looked whether a version is being
# asked for real, and how many times at most.
CLOSED_LOOP = 4
LOOK_S, LOOKS = 0.001, 50

# Answers whose values are compared.
COMPARED = frozenset({"", "*/*", "application/*", JSON, TENSORS, inference.MEDIA_TYPE})

Sleep = Callable[[float], Awaitable[None]]


@attrs.define(eq=False, slots=True)
class Pair:
    """A request, and the answers of both; None where there is none yet."""

    exchange: Exchange
    baseline: Answer | None = None
    candidate: Answer | None = None

    @property
    def size_bytes(self) -> int:
        """What it holds."""
        answers = (self.baseline, self.candidate)
        return len(self.exchange.body) + sum(len(one.body) for one in answers if one)


@attrs.define(eq=False)
class Sending:
    """Sends to both sides.

    Parameters
    ----------
    pacing
        None: as fast as answers come.
    answered
        Called with each pair, once both have answered.

    Attributes
    ----------
    sent, open
        How many were sent, and how many of them are not answered by both yet.
    late_s
        How late each was sent.
    first, last
        Those that were sent first and last.
    """

    baseline: Side
    candidate: Side
    pacing: Pacing | None
    answered: Callable[[Pair], None]
    clock: Callable[[], float] = time.monotonic  # a loop's own clock may tick in milliseconds
    sleep: Sleep = asyncio.sleep
    sent: int = 0
    open: int = 0
    late_s: array[float] = attrs.field(factory=lambda: array("d"))
    first: Exchange | None = None
    last: Exchange | None = None
    _changed: asyncio.Event = attrs.field(factory=asyncio.Event)

    async def send(self, exchanges: AsyncIterator[Exchange]) -> None:
        """Send all of them; return when the last one is answered."""
        begun: float | None = None
        async for exchange in exchanges:
            if self.pacing is None:
                await self._until(CLOSED_LOOP)
                await self._give_way()
                self._send(exchange, self.clock())
                continue
            begun = self.clock() if begun is None else begun
            await self._send_at(exchange, begun + self.pacing.due(exchange.at))
        await self._until(1)

    async def _send_at(self, exchange: Exchange, due: float) -> None:
        wait = wait_s(due, self.clock())
        if wait or self.sent % BURST == 0:
            await self.sleep(wait)
        self.late_s.append(max(0.0, self.clock() - due))
        self._send(exchange, due)

    def _send(self, exchange: Exchange, due: float) -> None:
        head, pair = head_of(exchange), Pair(exchange)
        self.first, self.last = self.first or exchange, exchange
        self.sent += 1
        self.open += 1
        sides = [(self.baseline, "baseline"), (self.candidate, "candidate")]
        # Neither is always the first, to which the machine's caches and cores go.
        for side, name in sides if random.random() < 0.5 else reversed(sides):

            def heard(answer: Answer, name: str = name) -> None:
                setattr(pair, name, answer)
                if pair.baseline is not None and pair.candidate is not None:
                    self._end(pair)

            side.ask(head, exchange.body, exchange.request, due, heard)

    def _end(self, pair: Pair) -> None:
        self.open -= 1
        self._changed.set()
        self.answered(pair)

    async def _give_way(self) -> None:
        """Let those go first who ask one of the versions for real; there is always somebody, perhaps."""
        for _ in range(LOOKS):
            if not (self.baseline.busy or self.candidate.busy):
                return
            await self.sleep(LOOK_S)

    async def _until(self, fewer: int) -> None:
        """Return when fewer are open."""
        while self.open >= fewer:
            self._changed.clear()
            await self._changed.wait()


def head_of(exchange: Exchange) -> Head:
    """Return how a recorded request's body is read and its answer written.

    An answer in a form whose values cannot be compared, in which the version may even stand (gRPC), is
    asked for as tensors: it is nobody's answer.
    """
    first = plain(exchange.accept.partition(",")[0])
    accept = exchange.accept if first in COMPARED else TENSORS
    return Head(exchange.media_type, accept, exchange.query, exchange.style, cached=False)
