"""The recordings of all models, in the leading gateway: listed, exported, deleted, and kept within bounds.

Whoever writes keeps to the bounds; but where nobody writes any more, somebody has to end what is too old.
"""

from __future__ import annotations

import asyncio
import base64
import shutil
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import attrs
import msgspec
import structlog

from prism_core.errors import NoRecordings
from prism_core.gateway.auditing import Audit, audited
from prism_core.gateway.registry import Registry
from prism_core.gateway.traffic.recordings.exchange import Exchange
from prism_core.gateway.traffic.recordings.reading import Reader, Totals, head_of, segments_of, totals_of
from prism_core.gateway.traffic.recordings.recorder import DIRECTORY
from prism_core.gateway.traffic.recordings.segments import bound, files_of
from prism_core.traffic.recording import Recording

SWEEP_S = 60.0
# Requests that are read in one go, while those before are used, and bytes of their bodies.
AHEAD, AHEAD_BYTES = 256, 4 * 1024 * 1024

log = structlog.get_logger("prism.recording")


@attrs.frozen
class RecordingInfo:
    """The recording of a model.

    Parameters
    ----------
    recording
        Whether its route records now.
    since, until
        When its first and its last request came, in Unix seconds; None where there is none.
    torn_bytes
        What a process that was killed has left half written; it is not read.
    redacted
        What is not in it.
    dropped
        Requests that were not kept: ``busy``, ``large``, ``disk``, ``not_redactable``.
    """

    model: str
    recording: bool
    requests: int
    since: float | None
    until: float | None
    size_bytes: int
    torn_bytes: int
    redacted: tuple[str, ...]
    dropped: dict[str, int]


class Recordings:
    """All recordings of a data directory. Made by `open_recordings`."""

    def __init__(
        self, data: Path, registry: Registry, audit: Audit, clock: Callable[[], float] = time.time
    ) -> None:
        self.directory = data / DIRECTORY
        self.audit = audit
        self._registry = registry
        self._clock = clock

    async def all(self) -> list[RecordingInfo]:
        """Return the recordings of all models that have one, or make one."""
        names = {path.name for path in self._directories()}
        names |= {name for name, model in self._registry.models.items() if model.route and model.route.record}
        return [await self.show(name) for name in sorted(names & self._registry.models.keys())]

    async def show(self, model: str) -> RecordingInfo:
        """Return the recording of a model; `ModelNotFound` where there is no such model."""
        route = self._registry.model(model).route
        totals = await asyncio.to_thread(self._totals, model)
        return RecordingInfo(model, bool(route and route.record), **attrs.asdict(totals, recurse=False))

    @audited("recording.delete")
    async def delete(self, model: str) -> None:
        """Remove what was recorded of a model; if its route still records, that begins anew."""
        self._registry.model(model)
        await self.forget(model)

    async def forget(self, model: str) -> None:
        """Remove what was recorded of a model that may be gone."""
        await asyncio.to_thread(shutil.rmtree, self.directory / model, True)

    async def read(self, model: str, since: float, until: float) -> Reader:
        """Return what reads the requests of a model that came in a span of time.

        Raises
        ------
        NoRecordings
            If there are none.
        """
        self._registry.model(model)
        directory = self.directory / model
        reader = await asyncio.to_thread(lambda: Reader(segments_of(directory, since), since, until))
        if not reader.requests:
            raise self._nothing(model, await self.show(model))
        return reader

    @audited("recording.export")
    async def export(self, model: str, since: float, until: float) -> Reader:
        """As `read`, for whoever takes them away."""
        return await self.read(model, since, until)

    def sweep(self) -> None:
        """Remove what is too old, and what belongs to no model. Blocks: for a thread."""
        for directory in self._directories():
            if directory.name not in self._registry.models:
                shutil.rmtree(directory, ignore_errors=True)
                continue
            for file in files_of(directory):
                with suppress(FileNotFoundError):
                    if file.made < self._clock() - _max_age_s(directory / file.name):
                        (directory / file.name).unlink()
            model = self._registry.models.get(directory.name)
            record = model.route.record if model and model.route else None
            if record is not None:
                bound(directory, record.max_size, self._clock() - record.max_age_s)

    def _directories(self) -> list[Path]:
        return [path for path in self.directory.iterdir() if path.is_dir()] if self.directory.is_dir() else []

    def _totals(self, model: str) -> Totals:
        return totals_of(segments_of(self.directory / model))

    def _nothing(self, model: str, info: RecordingInfo) -> NoRecordings:
        if info.requests:
            return NoRecordings(
                f"No request for {model!r} was recorded in that time.",
                hint="`prism recordings` shows from when to when there are some.",
            )
        hint = (
            "Its route records; send some requests."
            if info.recording
            else f"Record some: `record: {{}}` in the route of {model}."
        )
        return NoRecordings(f"No request for {model!r} has been recorded.", hint=hint)


def _max_age_s(path: Path) -> float:
    """Return how long a file may be kept; where its head cannot be read, as long as any other."""
    try:
        return head_of(path).max_age_s
    except ValueError:
        return Recording().max_age_s


@asynccontextmanager
async def open_recordings(data: Path, registry: Registry, audit: Audit) -> AsyncIterator[Recordings]:
    """Keep recordings within their bounds."""
    recordings = Recordings(data, registry, audit)
    task = asyncio.create_task(_sweeping(recordings), name="recordings")
    try:
        yield recordings
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _sweeping(recordings: Recordings) -> None:
    while True:
        try:
            await asyncio.to_thread(recordings.sweep)
        except Exception:  # one fault must not end the watch
            log.exception("recording.not_swept")
        await asyncio.sleep(SWEEP_S)


async def ahead(items: Iterator[Exchange]) -> AsyncGenerator[Exchange, None]:
    """Yield what an iterator yields that reads files, in a thread and some items ahead."""
    following = asyncio.create_task(asyncio.to_thread(_next, items))
    try:
        while chunk := await following:
            following = asyncio.create_task(asyncio.to_thread(_next, items))
            for item in chunk:
                yield item
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


def _next(items: Iterator[Exchange]) -> list[Exchange]:
    """Return some of them: a bounded number, and bytes."""
    found: list[Exchange] = []
    size = 0
    for item in items:
        found.append(item)
        size += len(item.body)
        if len(found) == AHEAD or size > AHEAD_BYTES:
            break
    return found


def line_of(exchange: Exchange) -> dict[str, object]:
    """Return an exchange as values that JSON can hold: a body that is no text in base64."""
    told: dict[str, object] = msgspec.structs.asdict(exchange)
    try:
        told["body"] = exchange.body.decode()
    except UnicodeDecodeError:
        told["body"] = {"b64": base64.b64encode(exchange.body).decode()}
    return told
