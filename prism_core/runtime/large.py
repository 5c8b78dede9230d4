"""Requests with large bodies, and large answers: read and written beside the small ones.

A small body is read in microseconds, where it arrives. A large one takes tens of
milliseconds: it waits its turn, is read in steps between which the small ones are read,
computed and answered, and only then joins the queue of the model.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Generator
from typing import Any, cast

import attrs
import numpy as np

from prism_core import wire
from prism_core.errors import DeadlineExceeded, Overloaded, PrismError
from prism_core.filling import LARGE_BYTES
from prism_core.runtime.batching import Waiting
from prism_core.runtime.engine import Answered, Engine
from prism_core.runtime.turns import Job, Turns
from prism_core.specs import TakesLong
from prism_core.types import Batch, Signature

# An answer of so many values is written in about two milliseconds, as long as an execution on
# the loop's thread may take; so is the reading of a body that is just not large.
LARGE_VALUES = 32 * 1024
# What may wait to be read, and what was read for the model; more is refused, as when its queue is full.
MAX_WAITING_BYTES = 512 * 1024 * 1024
# How often it is looked whether the model has room for another large request: it computes meanwhile.
LOOK_S = 0.002

Written = tuple[str, "bytes | bytearray"]


@attrs.define(eq=False)
class LargeCall:
    """A request with a large body, on its way."""

    call: wire.Call
    body: memoryview
    deadline: float
    answer: Callable[[Answered], None]
    job: Job | None = None
    waiting: Waiting | None = None
    batch: Batch | None = None
    batch_bytes: int = 0
    gone: bool = False


class LargeRequests:
    """Tells large bodies and answers from small ones; reads and writes the large ones for the engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._session = engine.session
        self._loop = asyncio.get_running_loop()
        # An answer of fewer rows is never large.
        self._from_rows = _large_from(engine.session.signature)
        self._turns = Turns(engine.about_to_execute)
        self._open: set[object] = set()
        self._bytes = self._batch_bytes = 0
        self._read: deque[LargeCall] = deque()
        self._empty = asyncio.Event()
        self._empty.set()

    def read_small(self, call: wire.Call, body: memoryview) -> Batch | None:
        """Return the batch of a small body, None for a large one: that is to be submitted.

        Raises
        ------
        PrismError
            As `Session.read`.
        """
        if len(body) >= LARGE_BYTES:
            return None
        try:
            return self._session.read(body, call.media_type, call.query, call.accept, call.style)
        except TakesLong:
            return None

    def write_small(self, answered: Answered, call: wire.Call) -> Written | Exception | None:
        """Return a small answer, or why there is none; None for a large one: that takes `write`."""
        outputs = cast(Batch, answered.outputs)
        if answered.rows >= self._from_rows and _is_large(outputs):
            return None
        try:
            return self._session.write(outputs, call.accept, call.style, answered.reply)
        except TakesLong:
            return None
        except Exception as error:
            return error

    def submit(self, call: wire.Call, body: memoryview, answer: Callable[[Answered], None]) -> LargeCall:
        """Read a large body and have it computed; ``answer`` as for `Engine.submit`.

        Raises
        ------
        Overloaded
            If too many bytes wait to be read.
        """
        if self._bytes and self._bytes + len(body) > MAX_WAITING_BYTES:
            raise self._overloaded(f"{self._bytes >> 20} MB of large bodies are waiting to be read.")
        timeout_s = call.timeout_ms / 1000
        large = LargeCall(call, body, time.monotonic() + timeout_s if timeout_s > 0 else math.inf, answer)
        arguments = (body, call.media_type, call.query, call.accept, call.style)
        large.job = Job(
            self._session.read_steps(*arguments),
            lambda: self._session.read(*arguments, waited_for=False),
            lambda found: self._was_read(large, found),
        )
        self._begin(large)
        self._bytes += len(body)
        self._turns.add(large.job)
        return large

    def cancel(self, large: LargeCall | Job) -> None:
        """Forget a request or an answer: nobody waits for it any more."""
        if isinstance(large, Job):
            self._turns.cancel(large)
            self._end(large)
            return
        large.gone = True
        if large.job:
            self._turns.cancel(large.job)
            self._bytes -= len(large.body)
        if large.waiting:
            self._engine.cancel(large.waiting)
        self._end(large)

    def write(self, answered: Answered, call: wire.Call, done: Callable[[Written | Exception], None]) -> Job:
        """Write the large answer to a call; ``done`` is called with media type and body, or an exception."""
        answer = (cast(Batch, answered.outputs), call.accept, call.style, answered.reply)

        def written(found: Any) -> None:
            self._end(job)
            done(found)

        job = Job(
            self._session.write_steps(*answer),
            lambda: self._session.write(*answer, waited_for=False),
            written,
        )
        self._begin(job)
        self._turns.add(job, first=True)
        return job

    def do(self, whole: Callable[[], Any], done: Callable[[Any], None]) -> Job:
        """Do something long beside the others; ``done`` is called with its result, or an exception."""

        def ended(found: Any) -> None:
            self._end(job)
            done(found)

        job = Job(_no_steps(), whole, ended)
        self._begin(job)
        self._turns.add(job)
        return job

    async def drain(self) -> None:
        """Return when everything that was submitted has been answered."""
        await self._empty.wait()

    def close(self) -> None:
        """Let go of the thread without waiting for it."""
        self._turns.close()

    def _was_read(self, large: LargeCall, found: Batch | Exception) -> None:
        large.job = None
        self._bytes -= len(large.body)
        large.body = memoryview(b"")  # a view keeps the bytes that it needs
        if isinstance(found, Batch):
            size = sum(map(_bytes, found.tensors.values()))
            # A body may be far smaller than what is made of it, a packed one a thousand times.
            if self._batch_bytes and self._batch_bytes + size > MAX_WAITING_BYTES:
                waiting = f"{self._batch_bytes >> 20} MB of large requests are waiting for the model."
                self._answer(large, _failed(self._overloaded(waiting)))
                return
            large.batch, large.batch_bytes = found, size
            self._batch_bytes += size
            self._read.append(large)
            if len(self._read) == 1:
                self._pass_on()
        elif isinstance(found, PrismError):
            self._answer(large, _failed(found))
        else:
            self._answer(large, _failed(self._session.internal("A normalizer", found)))

    def _overloaded(self, message: str) -> Overloaded:
        return Overloaded(
            message,
            hint="Try again after `Retry-After`, or send fewer rows at a time.",
            details={"retry_after_s": max(1.0, self._engine.queue.retry_after_s())},
        )

    def _pass_on(self) -> None:
        """Let what was read wait for the model, in turn, as soon as its queue has room."""
        while self._read:
            large = self._read[0]
            if not large.gone and not self._has_room(large):
                self._loop.call_later(LOOK_S, self._pass_on)
                return
            self._read.popleft()
            self._batch_bytes -= large.batch_bytes
            if not large.gone:
                self._queue(large)

    def _has_room(self, large: LargeCall) -> bool:
        assert large.batch
        queue = self._engine.queue
        return (
            not queue.large_rows or large.batch.rows <= queue.cap_rows or large.deadline <= time.monotonic()
        )

    def _queue(self, large: LargeCall) -> None:
        assert large.batch
        batch, large.batch = large.batch, None
        left_s = large.deadline - time.monotonic()
        if left_s <= 0:
            late = DeadlineExceeded(
                "The deadline passed before the body was read.",
                hint="Allow more time, send fewer rows, or add replicas.",
            )
            self._answer(large, _failed(late))
            return
        timeout_s = left_s if large.deadline < math.inf else 0.0
        try:
            large.waiting = self._engine.submit(
                batch, timeout_s, lambda answered: self._answer(large, answered)
            )
        except PrismError as error:
            self._answer(large, _failed(error))
            return
        self._engine.begin_soon()

    def _answer(self, large: LargeCall, answered: Answered) -> None:
        self._end(large)
        large.answer(answered)

    def _begin(self, one: object) -> None:
        self._open.add(one)
        self._empty.clear()

    def _end(self, one: object) -> None:
        self._open.discard(one)
        if not self._open:
            self._empty.set()


def _no_steps() -> Generator[None, None, None]:
    return
    yield


def _large_from(signature: Signature) -> int:
    if not signature.batch_axis or any(-1 in spec.shape[1:] for spec in signature.outputs):
        return 0
    return LARGE_VALUES // max(1, *(math.prod(spec.shape[1:]) for spec in signature.outputs))


def _is_large(outputs: Batch) -> bool:
    """Whether an answer takes long to write."""
    return any(_values(tensor) > LARGE_VALUES for tensor in outputs.tensors.values())


def _values(tensor: Any) -> int:
    return tensor.size if isinstance(tensor, np.ndarray) else len(tensor)


def _bytes(tensor: Any) -> int:
    if not isinstance(tensor, np.ndarray):
        return 0
    # Of a text the array holds the address alone; a short one takes some sixty bytes.
    return tensor.size * 64 if tensor.dtype.kind == "O" else tensor.nbytes


def _failed(error: PrismError) -> Answered:
    return Answered(error, 0, 0, 0.0, 0.0)
