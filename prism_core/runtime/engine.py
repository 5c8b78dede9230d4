"""Keep the model busy: queue in, executions, answers out. The only place that owns a thread.

A quick model is executed on the event loop's own thread: handing over to another costs
more than it computes. A model that takes longer runs in one worker thread, so that the
runtime goes on accepting frames, answering pings and dropping cancelled requests.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import numpy as np

from prism_core.errors import DeadlineExceeded, PrismError
from prism_core.manifest import Batching
from prism_core.runtime.batching import BatchQueue, Part, Waiting
from prism_core.runtime.session import Session, execute_each
from prism_core.types import Batch, rows_of

# An execution on the loop's thread delays frames and pings by its own time, so only
# models known to be quicker than this are executed there; slower ones lose nothing by
# the ~50 us that a hand-over costs.
INLINE_S = 0.002
INLINE_AFTER = 3


class Answered(msgspec.Struct, frozen=True):
    """The outcome of one request: outputs or an error, how it came about, and its batch's ``reply``."""

    outputs: Batch | PrismError
    rows: int
    batch_rows: int
    queue_s: float
    compute_s: float
    reply: Any = None


class Pending(msgspec.Struct, eq=False):
    """A request's life in the engine.

    ``executions`` is how many a request that is split has taken, each shared with its neighbours in it.
    """

    batch: Batch
    answer: Callable[[Answered], None]
    pieces: list[Batch] = []
    left: int = 0
    started: float = 0.0
    compute_s: float = 0.0
    executions: float = 0.0


Execution = tuple[list[tuple[Sequence[int], "Batch | PrismError"]], float]


class Engine:
    """Executes what is submitted, in batches, on the running event loop.

    Parameters
    ----------
    session
        The model.
    batching
        The policy's bounds.
    """

    def __init__(self, session: Session, batching: Batching) -> None:
        self.session = session
        self.queue = BatchQueue(batching)
        self.executions = 0
        self.rows = 0
        self.largest_batch = 0
        self._loop = asyncio.get_running_loop()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="predict")
        self._busy = False
        self._scheduled = False
        self._quick = 0
        self._delay: asyncio.TimerHandle | None = None
        self._idle = asyncio.Event()
        self._idle.set()

    def submit(self, batch: Batch, timeout_s: float, answer: Callable[[Answered], None]) -> Waiting:
        """Queue a checked batch; ``answer`` is called once, on the loop, unless it is cancelled.

        Nothing is computed before `begin` or `begin_soon`.

        Raises
        ------
        Overloaded
            If the queue is full.
        """
        now = time.monotonic()
        # What has no rows (an empty tensor of a model without a batch axis) still takes its turn.
        rows = batch.rows or 1
        deadline = now + timeout_s if timeout_s > 0 else math.inf
        pending = Pending(batch, answer, left=rows)
        request = Waiting(pending, rows, self.session.kind(batch), deadline, now)
        self.queue.offer(request)
        self._idle.clear()
        return request

    def begin(self) -> None:
        """Compute what waits, if the model is idle: everything that one read has brought is submitted."""
        if not self._busy and not self._scheduled:
            self._pump()

    def begin_soon(self) -> None:
        """As `begin`, after twice around the loop: what other sockets have brought meanwhile comes along."""
        if not self._busy and not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._loop.call_soon, self._pump)

    def cancel(self, request: Waiting) -> None:
        """Forget a request: it is not executed if it still waits, and never answered."""
        request.payload.answer = _nobody
        self.queue.drop(request)
        self._settle()

    def about_to_execute(self) -> bool:
        """Whether something is executed in one of the next turns of the loop."""
        return self._scheduled

    async def drain(self) -> None:
        """Return when everything that was submitted has been answered."""
        await self._idle.wait()

    def close(self) -> None:
        """Let go of the worker thread without waiting for it."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _pump(self) -> None:
        self._scheduled = False
        if self._busy:
            return
        now = time.monotonic()
        for request in self.queue.expire(now):
            _answer_expired(request, now)
        wait_s = self.queue.due(now)
        if wait_s:
            self._wait(wait_s)
            return
        parts = self.queue.take()
        if not parts:
            self._settle()
            return
        for part in parts:
            if part.start == 0:
                part.request.payload.started = now
        self._begin(parts)

    def _wait(self, seconds: float) -> None:
        if self._delay:
            self._delay.cancel()
        self._delay = self._loop.call_later(seconds, self._pump)

    def _begin(self, parts: list[Part]) -> None:
        batches = [p.request.payload.batch if p.whole else _slice(p) for p in parts]
        self._busy = True
        if self._quick >= INLINE_AFTER:
            self._end(parts, self._execute(batches))
            return
        future = self._loop.run_in_executor(self._pool, self._execute, batches)
        future.add_done_callback(lambda done: self._end(parts, done.result()))

    def _execute(self, batches: list[Batch]) -> Execution:
        begun = time.perf_counter()
        return execute_each(batches, self.session.execute), time.perf_counter() - begun

    def _end(self, parts: list[Part], execution: Execution) -> None:
        outcomes, compute_s = execution
        self._busy = False
        self._quick = self._quick + 1 if compute_s < INLINE_S else 0
        rows = sum(p.stop - p.start for p in parts)
        self.executions += len(outcomes)
        self.rows += rows
        self.largest_batch = max(self.largest_batch, rows)
        self.queue.executed(rows, compute_s)
        for indices, outcome in outcomes:
            self._deliver([parts[i] for i in indices], outcome, compute_s)
        if self.queue.waiting_rows:
            self.begin_soon()
        else:
            self._settle()

    def _deliver(self, parts: list[Part], outcome: Batch | PrismError, compute_s: float) -> None:
        batch_rows = sum(p.stop - p.start for p in parts)
        at = 0
        for part in parts:
            size = part.stop - part.start
            if isinstance(outcome, PrismError) or len(parts) == 1:
                self._piece(part, outcome, batch_rows, compute_s)
            else:
                self._piece(part, rows_of(outcome, at, at + size), batch_rows, compute_s)
            at += size

    def _piece(self, part: Part, outcome: Batch | PrismError, batch_rows: int, compute_s: float) -> None:
        request, pending = part.request, part.request.payload
        pending.compute_s += compute_s
        size = part.stop - part.start
        pending.left -= size
        queue_s = pending.started - request.arrived
        if size != request.rows:
            pending.executions += size / batch_rows
            batch_rows = round((request.rows - pending.left) / pending.executions)
        if isinstance(outcome, PrismError):
            answer, pending.answer = pending.answer, _nobody
            self.queue.drop(request)
            answer(Answered(outcome, request.rows, batch_rows, queue_s, pending.compute_s))
            return
        pending.pieces.append(outcome)
        if not pending.left:
            outputs, reply = _join(pending.pieces), pending.batch.reply
            pending.answer(Answered(outputs, request.rows, batch_rows, queue_s, pending.compute_s, reply))

    def _settle(self) -> None:
        if not self._busy and not self.queue.waiting_rows:
            self._idle.set()


def _nobody(answered: Answered) -> None:
    """Take the answer of a request that was cancelled or has already failed."""


def _slice(part: Part) -> Batch:
    return rows_of(part.request.payload.batch, part.start, part.stop)


def _join(pieces: list[Batch]) -> Batch:
    if len(pieces) == 1:
        return pieces[0]
    joined = {}
    for name, first in pieces[0].tensors.items():
        all_of = [piece.tensors[name] for piece in pieces]
        joined[name] = (
            np.concatenate(all_of) if isinstance(first, np.ndarray) else [x for p in all_of for x in p]
        )
    return Batch(joined)


def _answer_expired(request: Waiting, now: float) -> None:
    waited_s = now - request.arrived
    error = DeadlineExceeded(
        f"The request waited {waited_s:.3f} s and its deadline passed before it was computed.",
        hint="Allow more time, send fewer rows, or add replicas.",
    )
    answer, request.payload.answer = request.payload.answer, _nobody
    answer(Answered(error, request.rows, 0, waited_s, 0.0))
