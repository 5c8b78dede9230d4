"""The access log: a line for each request of the public listener, written beside the requests.

A request adds its line to a list and goes on; ten times a second the list goes to a thread
that writes it in one piece. A disk that does not keep up, or is full, costs lines and never a
request's time: those lost are counted, and the next line that can be written says how many.

No bodies, no query strings and no credentials are in a line. ``values``, the beginning of a body,
is there only for models whose settings allow it.
"""

from __future__ import annotations

import asyncio
import os
import queue
import re
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import structlog

from prism_core.gateway.callers.door import ENTRY, Addresses, Door, Entry, told_of
from prism_core.gateway.prediction import Prediction
from prism_core.rest.requests import REQUEST
from prism_core.settings import Settings

# Lines that may wait while others are written: some megabytes.
# The status of a client that left before it was answered.
LEFT = 499
# Where a scope holds the `Prediction` of its answer, and what may be told of its body.
PREDICTION, VALUES = "prism.prediction", "prism.values"
# Where it holds what the process has told that has answered it.
TOLD = "prism.told"
MAX_PATH = 1000
HELD_LINES = 20_000
EVERY_S = 0.1
# How long the end of the server waits for the last lines.
LAST_S = 2.0

_MODEL = re.compile("[@/]")

log = structlog.get_logger("prism.access")


class Line(msgspec.Struct, omit_defaults=True):
    """One request. ``ms`` is the time from its head to its answer; ``status`` 499: the client left before."""

    time: float
    request: str
    address: str
    caller: str
    method: str
    path: str
    status: int
    bytes: int
    ms: float
    model: str = ""
    version: int = 0
    cache: str = ""
    batch: int = 0
    values: str = ""

    def __post_init__(self) -> None:
        """Cut what a client may have made long."""
        self.path = self.path[:MAX_PATH]


class Told(msgspec.Struct, omit_defaults=True):
    """What a line says beside the request itself: who it was, and what answered."""

    caller: str = ""
    model: str = ""
    version: int = 0
    cache: str = ""
    batch: int = 0

    @classmethod
    def of(cls, entry: Entry | None, prediction: Prediction | None) -> Told:
        """Return what is known."""
        caller = entry.call.caller.id if entry is not None else ""
        if prediction is None:
            return cls(caller)
        told = (prediction.model, prediction.version, prediction.cache, prediction.batch_rows)
        return cls(caller, *told)


class Lost(msgspec.Struct):
    """Lines that could not be written."""

    time: float
    lost_lines: int


class AccessLog:
    """An open access log. Made by `open_access`.

    Parameters
    ----------
    write
        Writes lines in one piece, in a thread of its own; raises ``OSError``.
    values
        How many bytes of a body the lines of a model hold; 0 for those that are not named.
    addresses
        Knows which proxies may say for whom they ask.

    Attributes
    ----------
    lost
        Lines that were lost since the start.
    """

    def __init__(
        self,
        write: Callable[[bytes], None],
        values: Mapping[str, int],
        addresses: Addresses | None = None,
    ) -> None:
        self.values = values
        self.addresses = addresses
        self.lost = 0
        self._told = 0
        self._write = write
        self._lines: list[Line] = []
        self._due: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._pieces: queue.SimpleQueue[list[Line | Lost] | None] = queue.SimpleQueue()
        self._idle = asyncio.Event()
        self._idle.set()
        # Not an executor's: a disk that hangs must not keep the process from ending.
        self._thread = threading.Thread(target=self._work, name="access", daemon=True)
        self._thread.start()

    def at(self, addresses: Addresses | None) -> AccessLog:
        """Return this log for another listener, where others tell addresses."""
        return _Elsewhere(self, addresses)

    def begun(
        self,
        request: str,
        client: tuple[str, int] | None,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
    ) -> Line:
        """Return the line of a request that begins now; it is to be `ended`."""
        address = client[0] if client else ""
        if self.addresses is not None and headers:
            address = self.addresses.of(address, headers)
        return Line(time.time(), request, address, "", method, path, LEFT, 0, time.monotonic())

    def values_of(self, reference: str, body: bytes | memoryview) -> str:
        """Return what may be told of a body that was sent to ``reference``."""
        size = self.values.get(_MODEL.split(reference, 1)[0], 0) if self.values else 0
        return bytes(body[:size]).decode("utf-8", "replace")

    def ended(
        self,
        line: Line,
        status: int,
        size: int = 0,
        entry: Entry | None = None,
        prediction: Prediction | None = None,
    ) -> None:
        """Complete the line of a request that has been answered, and write it soon."""
        line.status, line.bytes = status, size
        line.ms = round((time.monotonic() - line.ms) * 1000, 3)
        if entry is not None:
            line.caller = entry.call.caller.id
        if prediction is not None:
            line.model, line.version = prediction.model, prediction.version
            line.cache, line.batch = prediction.cache, prediction.batch_rows
        self.add(line)

    def add(self, line: Line) -> None:
        """Take a line; it is written soon."""
        if len(self._lines) >= HELD_LINES:
            self.lost += 1
            return
        self._lines.append(line)
        if self._due is None:
            self._due = self._loop.call_later(EVERY_S, self._flush)

    async def close(self) -> None:
        """Write what waits, if that is quick."""
        if self._due:
            self._due.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_S):
                await self._idle.wait()
            self._flush()
            async with asyncio.timeout(LAST_S):
                await self._idle.wait()
        self._pieces.put(None)

    def _flush(self) -> None:
        self._due = None
        if not self._idle.is_set():  # still writing the ones before
            self._due = self._loop.call_later(EVERY_S, self._flush)
        elif self._lines:
            self._idle.clear()
            lost, lines, self._lines = self.lost - self._told, self._lines, []
            told: list[Line | Lost] = [Lost(time.time(), lost)] if lost else []
            self._pieces.put([*told, *lines])

    # --- in the thread ---------------------------------------------------------------------

    def _work(self) -> None:
        while (lines := self._pieces.get()) is not None:
            failure = ""
            try:
                self._write(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
            except OSError as error:
                failure = error.strerror or repr(error)
            with suppress(RuntimeError):  # the loop has ended meanwhile
                self._loop.call_soon_threadsafe(self._done, lines, failure)

    def _done(self, lines: list[Line | Lost], failure: str) -> None:
        self._idle.set()
        lost = sum(line.lost_lines for line in lines if isinstance(line, Lost))
        if failure:
            self.lost += len(lines) - bool(lost)
            log.warning("access.lost", lines=self.lost, error=failure)
        else:
            self._told += lost


class _Elsewhere(AccessLog):
    """An access log as another listener sees it: the lines are written by the first one."""

    def __init__(self, log: AccessLog, addresses: Addresses | None) -> None:
        self.values = log.values
        self.addresses = addresses
        self.add = log.add  # type: ignore[method-assign]  # there is one list of lines


class Accessed:
    """Tells the access log of each request that ``app`` answers."""

    def __init__(self, app: Any, access: AccessLog) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one ASGI scope."""
        access = self._access
        headers = told_of(scope["headers"]) if access.addresses is not None else None
        line = access.begun(scope[REQUEST], scope.get("client"), scope["method"], scope["path"], headers)
        status, size = LEFT, 0

        async def send_on(message: Any) -> None:
            nonlocal status, size
            status = message.get("status", status)
            size += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, send_on)
        finally:
            line.values = scope.get(VALUES, "")
            if (told := scope.get(TOLD)) is not None:  # another process has answered
                line.caller, line.model, line.version = told.caller, told.model, told.version
                line.cache, line.batch = told.cache, told.batch
            access.ended(line, status, size, scope.get(ENTRY), scope.get(PREDICTION))


class Appender:
    """A file that is appended to, and opened anew where somebody has moved it away (logrotate).

    Parameters
    ----------
    path
        The file; made with mode 0600.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._number = -1
        self._torn = False

    def __call__(self, data: bytes) -> None:
        """Append ``data``; where only a part of it fits, the next begins on a line of its own."""
        if self._number < 0 or self._moved():
            self._open()
        rest = memoryview(b"\n" + data if self._torn else data)
        while rest:
            written = os.write(self._number, rest)
            self._torn = rest[written - 1] != ord("\n")
            rest = rest[written:]

    def close(self) -> None:
        """Close the file."""
        if self._number >= 0:
            os.close(self._number)
            self._number = -1

    def _open(self) -> None:
        self.close()
        self._number = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _moved(self) -> bool:
        try:
            return not os.path.samestat(os.stat(self._path), os.fstat(self._number))
        except OSError:
            return True


@asynccontextmanager
async def open_access(settings: Settings, door: Door | None = None) -> AsyncIterator[AccessLog | None]:
    """Open the access log that the settings ask for; None where they ask for none.

    One that cannot be written keeps nobody from predicting: its lines are lost, and the log says so.
    """
    if not settings.access_log:
        yield None
        return
    appender = Appender(settings.data_dir.expanduser().resolve() / settings.access_log)
    values = {name: model.access_log_values for name, model in settings.models.items()}
    access = AccessLog(
        appender, {name: size for name, size in values.items() if size}, door.addresses if door else None
    )
    try:
        yield access
    finally:
        await access.close()
