"""Takes requests after their answers and writes them in a thread, some at a time.

A request is appended to a queue, which costs it a microsecond. Where the thread or the disk does not keep up
the queue is bounded by its bytes: what does not fit is lost and counted, and no request waits for it.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import msgspec
import structlog

from prism_core.errors import ModelFailed
from prism_core.gateway.registry import Registry
from prism_core.gateway.traffic.journey import Ended
from prism_core.gateway.traffic.recordings.exchange import Exchange, encode_block
from prism_core.gateway.traffic.recordings.segments import Segments
from prism_core.gateway.traffic.routed import Routed, Routing, Tap
from prism_core.traffic.recording import Recording
from prism_core.traffic.redacting import MAX_BYTES, Redactor, Unredactable
from prism_core.types import Signature

DIRECTORY = "recordings"
# How long requests wait for others: what a killed process has not written.
EVERY_S = 0.5
# What may wait for the disk, in bytes of bodies; a request without one weighs as much as it holds beside.
HELD_BYTES = 16 * 1024 * 1024
WEIGHT = 1024
# A block is decoded in one piece.
BLOCK_BYTES = 512 * 1024
# Requests that are written in one go, and how long the thread works before it lets others have their turn.
AT_ONCE = 512
WORK_S = 0.0005
# After a write that failed.
PAUSE_S = 5.0
# How long the end of the process waits for the last blocks.
LAST_S = 2.0

# Why requests were not kept.
BUSY, LARGE, DISK, UNREDACTABLE = "busy", "large", "disk", "not_redactable"

log = structlog.get_logger("prism.recording")


@attrs.frozen
class Taken:
    """A request that is to be written, and by which recording."""

    model: str
    recording: Recording
    signature: Signature | None
    exchange: Exchange


class Turns:
    """Lets a thread work for a moment, and rest as long.

    Whoever waits for the interpreter's lock gets it at once then, instead of after the five milliseconds that
    Python lets a thread keep it.
    """

    def __init__(self) -> None:
        self._begun = time.perf_counter()

    def give_way(self) -> None:
        """Rest, if it is time."""
        worked = time.perf_counter() - self._begun
        if worked >= WORK_S:
            time.sleep(min(worked, WORK_S))
            self._begun = time.perf_counter()


class Recorder:
    """Writes what the routes of one gateway process record. Made by `open_recorder`.

    Parameters
    ----------
    directory
        Of all recordings.
    key
        See `Redactor`.
    known
        Whether there is a model of that name still: of one that was removed nothing is written.
    """

    def __init__(
        self,
        directory: Path,
        key: bytes,
        known: Callable[[str], bool],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._directory = directory
        self._key = key
        self._known = known
        self._clock = clock
        self._queue: deque[Taken] = deque()
        # Each is counted by one thread alone: what is held is the difference.
        self._taken_bytes = self._written_bytes = 0
        self._lost: Counter[tuple[str, str]] = Counter()
        self._told: Counter[tuple[str, str]] = Counter()
        self._unwritten: Counter[tuple[str, str]] = Counter()
        self._recordings: dict[str, Recording] = {}
        self._segments: dict[str, Segments] = {}
        self._redactors: dict[tuple[str, ...], Redactor] = {}
        self._turns = Turns()
        self._failing = False
        self._again = 0.0
        self._due, self._closing = threading.Event(), threading.Event()
        # Not an executor's: a disk that hangs must not keep the process from ending.
        self._thread = threading.Thread(target=self._work, name="recording", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def close(self) -> None:
        """Write what waits, if that is quick."""
        self._closing.set()
        self._due.set()
        self._thread.join(LAST_S)

    # --- on the way of a request -------------------------------------------------------------

    def tap(self, routed: Routed) -> Tap | None:
        """Return what takes the requests of a route; None where it records nothing."""
        recording, model = routed.route.record, routed.model
        if recording is None or recording.percent <= 0:
            return None
        self._recordings[model] = recording
        share, most = recording.percent / 100, recording.most_bytes

        def take(ended: Ended) -> None:
            if share >= 1 or random.random() < share:
                self._take(model, recording, most, ended)

        return take

    def _take(self, model: str, recording: Recording, most: int, ended: Ended) -> None:
        size = len(ended.body) + WEIGHT
        if size > most:
            self._lose(model, LARGE)
        elif self._taken_bytes - self._written_bytes + size > HELD_BYTES:
            self._lose(model, BUSY)
        else:
            self._taken_bytes += size
            signature = ended.lane.signature if ended.lane is not None else None
            self._queue.append(Taken(model, recording, signature, exchange_of(ended)))
        if not self._due.is_set():
            self._due.set()

    def _lose(self, model: str, reason: str) -> None:
        self._lost[model, reason] += 1

    # --- in the thread -----------------------------------------------------------------------

    def _work(self) -> None:
        while not self._closing.is_set():
            self._due.wait()
            self._closing.wait(EVERY_S)
            self._due.clear()
            try:
                self.write()
            except Exception:  # one fault must not end the recording of everything else
                log.exception("recording.failed")
        for segments in self._segments.values():
            segments.close()

    def write(self) -> None:
        """Write all that waits, some at a time."""
        while True:
            self._write_some()
            if not self._queue:
                return

    def _write_some(self) -> None:
        waiting: defaultdict[tuple[str, Recording], list[Taken]] = defaultdict(list)
        for _ in range(min(AT_ONCE, len(self._queue))):
            taken = self._queue.popleft()
            self._written_bytes += len(taken.exchange.body) + WEIGHT
            waiting[taken.model, taken.recording].append(taken)
        lost = self._lost.copy()
        missing, self._told = lost - self._told, lost
        self._unwritten.update(missing)
        gone = {model for model, _ in (*waiting, *self._unwritten) if not self._known(model)}
        for model in gone:
            self._forget(model)
        for (model, recording), all_taken in waiting.items():
            if model not in gone:
                for exchanges in blocks(self._redacted(all_taken)):
                    self._append(model, recording, exchanges)
        for model in {model for model, _ in +self._unwritten}:
            self._append(model, self._recordings[model], [])

    def _forget(self, model: str) -> None:
        if segments := self._segments.pop(model, None):
            segments.close()
        for key in [key for key in self._unwritten if key[0] == model]:
            del self._unwritten[key]

    def _append(self, model: str, recording: Recording, exchanges: list[Exchange]) -> None:
        missing = {reason: number for (name, reason), number in self._unwritten.items() if name == model}
        now = self._clock()
        block = encode_block(exchanges, {reason: n for reason, n in missing.items() if n}, now)
        if now < self._again:
            self._unwritten[model, DISK] += len(exchanges)
            return
        try:
            self._segments_of(model).append(block, recording)
        except OSError as error:
            self._fail(error, now)
            self._unwritten[model, DISK] += len(exchanges)
            return
        for reason in missing:
            del self._unwritten[model, reason]
        if self._failing:
            self._failing = False
            log.info("recording.goes_on")

    def _fail(self, error: OSError, now: float) -> None:
        self._again = now + PAUSE_S
        if not self._failing:
            self._failing = True
            log.warning("recording.stopped", error=error.strerror, hint="It goes on when it can be written.")

    def _segments_of(self, model: str) -> Segments:
        if model not in self._segments:
            self._segments[model] = Segments(self._directory / model, model, self._clock)
        return self._segments[model]

    def _redacted(self, all_taken: Iterable[Taken]) -> Iterator[Exchange]:
        for taken in all_taken:
            self._turns.give_way()
            if not taken.recording.redact:
                body = taken.exchange.body
                yield taken.exchange if type(body) is bytes else with_body(taken.exchange, bytes(body))
                continue
            try:
                yield self._without(taken)
            except Unredactable:
                self._unwritten[taken.model, UNREDACTABLE] += 1

    def _without(self, taken: Taken) -> Exchange:
        names, exchange = taken.recording.redact, taken.exchange
        # What no model has read may hold anything anywhere.
        if not exchange.answered and exchange.code != ModelFailed.code:
            raise Unredactable("not read by a model")
        if len(exchange.body) > MAX_BYTES:
            raise Unredactable("too large")
        redactor = self._redactors.setdefault(names, Redactor(names, self._key))
        body = redactor.body(bytes(exchange.body), exchange.media_type, taken.signature)
        return with_body(exchange, body, redactor.query(exchange.query))


def exchange_of(ended: Ended) -> Exchange:
    """Return what is kept of a request."""
    head, call = ended.head, ended.call
    return Exchange(
        call.at - call.total_s,
        ended.body,  # type: ignore[arg-type]  # a view is made bytes before it is written
        head.media_type,
        head.accept,
        head.query,
        head.style,
        call.request,
        call.arm,
        call.answered,
        call.status,
        call.code,
        call.total_s,
        call.failure,
    )


def with_body(exchange: Exchange, body: bytes, query: str | None = None) -> Exchange:
    """Return the same exchange with another body, and perhaps another query."""
    changed = {"body": body} if query is None else {"body": body, "query": query}
    return msgspec.structs.replace(exchange, **changed)


def blocks(exchanges: Iterable[Exchange]) -> Iterator[list[Exchange]]:
    """Yield them in pieces of a bounded size, or of one exchange."""
    block: list[Exchange] = []
    size = 0
    for exchange in exchanges:
        if block and size + len(exchange.body) > BLOCK_BYTES:
            yield block
            block, size = [], 0
        block.append(exchange)
        size += len(exchange.body) + WEIGHT
    if block:
        yield block


@asynccontextmanager
async def open_recorder(data: Path, key: bytes, routing: Routing, registry: Registry) -> AsyncIterator[None]:
    """Record what the routes of a registry say; at the end what waits is written."""
    recorder = Recorder(data / DIRECTORY, key, lambda model: model in registry.models)
    routing.taps.append(recorder.tap)
    registry.refresh()  # those that are there already get the tap too
    recorder.start()
    try:
        yield
    finally:
        await asyncio.to_thread(recorder.close)
