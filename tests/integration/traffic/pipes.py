"""Many connections that ask without pause, each one request after the other, and what came of it.

Raw bytes on both sides: the client must not be what a test waits for.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import attrs

CONNECTIONS = 48

_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
_VERSION = re.compile(rb"x-prism-model-version: (\d+)", re.IGNORECASE)
_FALLBACK = re.compile(rb"x-prism-fallback: (\S+)", re.IGNORECASE)


@attrs.frozen(slots=True)
class Answer:
    """One answer: when it was asked for and came, on the monotonic clock; for whom; and what it said."""

    asked: float
    came: float
    user: int
    value: int
    status: int
    version: int
    fallback: str
    body: bytes


@attrs.define(eq=False)
class Pipes:
    """Asks ``model`` about a new value each time, as one of ``users`` after the other.

    ``asked`` counts requests that were sent, ``answers`` are those that came; ``broken`` is what went wrong
    with connections.
    """

    model: str
    users: int
    answers: list[Answer] = attrs.field(factory=list)
    asked: int = 0
    broken: list[str] = attrs.field(factory=list)
    stopped: bool = False
    _values: Iterator[int] = attrs.field(factory=lambda: itertools.count(1))
    _waiting: list[tuple[int, asyncio.Future[None]]] = attrs.field(factory=list)

    def next(self) -> tuple[int, int, bytes]:
        """Return the user and the value of a new request, and its bytes."""
        self.asked += 1
        value = next(self._values)
        user = value % self.users
        body = b'{"input":[[%d]]}' % value
        head = f"POST /model/{self.model}/predict HTTP/1.1\r\nHost: x\r\nX-User-ID: user-{user}\r\n"
        return user, value, f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body

    def take(self, answer: Answer) -> None:
        """Take an answer."""
        self.answers.append(answer)
        while self._waiting and len(self.answers) >= self._waiting[0][0]:
            self._waiting.pop(0)[1].set_result(None)

    async def until(self, answers: int) -> None:
        """Return when so many answers have come."""
        if len(self.answers) < answers:
            reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append((answers, reached))
            self._waiting.sort(key=lambda pair: pair[0])
            async with asyncio.timeout(120):
                await reached

    def between(self, begun: float, ended: float) -> list[Answer]:
        """Return the answers that were asked for and came between two moments."""
        return [answer for answer in self.answers if begun < answer.asked and answer.came < ended]


class Pipe(asyncio.Protocol):
    """One connection."""

    def __init__(self, pipes: Pipes, ended: Callable[[], None]) -> None:
        self._pipes = pipes
        self._ended = ended
        self._received = b""
        self._busy = False

    def connection_made(self, transport) -> None:
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        if self._pipes.stopped:
            self._busy = False
            self._transport.close()
            return
        self._busy = True
        self._user, self._value, sent = self._pipes.next()
        self._at = time.monotonic()
        self._transport.write(sent)

    def data_received(self, data: bytes) -> None:
        received = self._received = self._received + data
        end = received.find(b"\r\n\r\n") + 4
        if end < 4:
            return
        head = received[:end]
        stop = end + int(_LENGTH.search(head)[1])
        if len(received) < stop:
            return
        self._received = b""
        if len(received) > stop:
            self._pipes.broken.append(f"more than one answer came: {received!r}")
        self._pipes.take(self._read(head, received[end:stop]))
        self._ask()

    def _read(self, head: bytes, body: bytes) -> Answer:
        version, fallback = _VERSION.search(head), _FALLBACK.search(head)
        return Answer(
            self._at,
            time.monotonic(),
            self._user,
            self._value,
            int(head[9:12]),
            int(version[1]) if version else -1,
            fallback[1].decode() if fallback else "",
            body,
        )

    def connection_lost(self, error) -> None:
        if self._busy:
            self._pipes.broken.append(f"a connection was closed with a request in flight: {error!r}")
        self._ended()


@asynccontextmanager
async def asking(url: str, model: str, users: int = 500) -> AsyncIterator[Pipes]:
    """Ask a server through `CONNECTIONS` connections until left; then all that was asked is answered."""
    pipes, loop = Pipes(model, users), asyncio.get_running_loop()
    at = urlsplit(url)
    ends: list[asyncio.Future[None]] = []
    try:
        for _ in range(CONNECTIONS):
            ended: asyncio.Future[None] = loop.create_future()
            await loop.create_connection(
                lambda e=ended: Pipe(pipes, lambda: e.set_result(None)), at.hostname, at.port
            )
            ends.append(ended)
        yield pipes
    finally:
        pipes.stopped = True
        with suppress(TimeoutError):
            async with asyncio.timeout(60):
                await asyncio.gather(*ends)
