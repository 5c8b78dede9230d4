"""A bounded load over the loopback: requests at a steady rate, and what became of each.

Plain protocols of asyncio, not an HTTP client: what a connection does when its server dies
must be seen as it is, without retries and pools in between.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import attrs

# Between two looks at what is due.
TICK_S = 0.002
# A load is bounded: when so many requests are under way, no more are sent.
MOST = 2000
# A request that takes longer than this has no end.
PATIENCE_S = 60.0
_LENGTH = re.compile(rb"content-length: *([0-9]+)", re.I)
# No number is asked for twice: no answer comes from a cache.
_NUMBERS = itertools.count(1)


@attrs.define(eq=False)
class Fate:
    """What became of one request. ``status`` 0: no answer, for the reason in ``why``."""

    number: float
    asked: float
    ended: float = math.inf
    status: int = 0
    right: bool = False
    why: str = ""

    @property
    def seconds(self) -> float:
        """From when it was due to its end."""
        return self.ended - self.asked


class Connection(asyncio.Protocol):
    """One keep-alive connection with one request at a time."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._held = b""
        self.fate: Fate | None = None

    def connection_made(self, transport) -> None:
        self.transport = transport

    def ask(self, fate: Fate) -> None:
        self.fate = fate
        self.transport.write(self._load.request(fate.number))

    def data_received(self, data: bytes) -> None:
        self._held += data
        end = self._held.find(b"\r\n\r\n") + 4
        found = _LENGTH.search(self._held, 0, end) if end > 3 else None
        if found is None or len(self._held) < end + int(found[1]):
            return
        head, body = self._held[:end].lower(), self._held[end:]
        self._held = b""
        fate, self.fate = self.fate, None
        assert fate is not None, "an answer that nobody asked for"
        fate.status = int(head[9:12])
        self._load.ended(fate, body)
        if b"connection: close" in head:
            self.transport.close()
        else:
            self._load.idle(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._load.gone(self)
        if self.fate is not None:
            fate, self.fate = self.fate, None
            fate.why = type(error).__name__ if error else "closed"
            self._load.ended(fate, b"")


class Load:
    """Asks one model. Made by `loading`.

    Attributes
    ----------
    fates
        All requests so far, in the order in which they were due.
    """

    def __init__(self, url: str, factor: float, headers: Iterable[str] = ()) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname, parts.port
        self._factor = factor
        lines = (f"POST {parts.path} HTTP/1.1", "Host: load", "Content-Type: application/json", *headers)
        self._head = "\r\n".join(lines)
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._asking: set[asyncio.Task[None]] = set()
        self._unended = 0
        self._steady: asyncio.Task[None] | None = None
        self.fates: list[Fate] = []

    def request(self, number: float) -> bytes:
        body = b'{"input": [[%r]]}' % number
        return f"{self._head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body

    # --- asking -----------------------------------------------------------------------

    def ask(self, number: float = 0.0, asked: float = 0.0) -> Fate:
        """Send a request, over an idle connection or a new one."""
        fate = Fate(number or next(_NUMBERS) / 8, asked or time.monotonic())
        self.fates.append(fate)
        self._unended += 1
        while self._idle:
            connection = self._idle.pop()
            if not connection.transport.is_closing():
                connection.ask(fate)
                return fate
        task = asyncio.ensure_future(self._ask_anew(fate))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)
        return fate

    async def answer(self, number: float = 0.0) -> Fate:
        """Send a request and return its fate."""
        fate = self.ask(number)
        await self.over([fate])
        return fate

    async def _ask_anew(self, fate: Fate) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(lambda: Connection(self), self._host, self._port)
        except OSError as error:
            fate.why = type(error).__name__
            self.ended(fate, b"")
            return
        self._open.add(connection)
        connection.ask(fate)

    async def steadily(self, rate: float, seconds: float) -> None:
        """Send ``rate`` requests a second for a while, whatever becomes of them, up to `MOST` at a time."""
        begun, sent = time.monotonic(), 0
        while (now := time.monotonic()) < begun + seconds and self._unended < MOST:
            while sent < (now - begun) * rate:
                self.ask(asked=begun + sent / rate)
                sent += 1
            await asyncio.sleep(TICK_S)

    def begin(self, rate: float) -> None:
        """Send ``rate`` requests a second until `end`."""
        if not self._steady:
            self._steady = asyncio.ensure_future(self.steadily(rate, math.inf))

    async def end(self) -> None:
        """Send no more, and wait until every request has come to its end."""
        if self._steady:
            self._steady.cancel()
            await asyncio.gather(self._steady, return_exceptions=True)
            self._steady = None
        await self.over(self.fates)

    async def over(self, fates: Iterable[Fate]) -> None:
        """Return when all of ``fates`` are decided."""
        async with asyncio.timeout(PATIENCE_S):
            while any(fate.ended == math.inf for fate in fates):
                await asyncio.sleep(TICK_S)

    async def capacity(self, connections: int = 32, seconds: float = 0.5) -> float:
        """Return the answers a second when each connection asks again at once."""
        begun = time.monotonic()

        async def one() -> int:
            count = 0
            while time.monotonic() < begun + seconds:
                count += (await self.answer()).right
            return count

        counts = await asyncio.gather(*(one() for _ in range(connections)))
        self.fates.clear()
        return sum(counts) / (time.monotonic() - begun)

    # --- what connections tell ----------------------------------------------------------

    def ended(self, fate: Fate, body: bytes) -> None:
        fate.ended = time.monotonic()
        self._unended -= 1
        if fate.status == 200:
            answer = json.loads(body)["predictions"][0]
            fate.right = answer is not None and math.isclose(answer, fate.number * self._factor)
        elif fate.status:
            fate.why = json.loads(body)["code"]

    def idle(self, connection: Connection) -> None:
        self._idle.append(connection)

    def gone(self, connection: Connection) -> None:
        self._open.discard(connection)

    async def close(self) -> None:
        if self._steady:
            self._steady.cancel()
        for connection in tuple(self._open):
            connection.fate = None
            connection.transport.close()
        await asyncio.gather(*self._asking, return_exceptions=True)
        await asyncio.sleep(0)

    # --- what became of them --------------------------------------------------------------

    @property
    def unended(self) -> int:
        """Requests under way."""
        return self._unended

    def outcomes(self, since: float = 0.0) -> Counter[str]:
        """Return the outcomes of what was asked after ``since``, as `outcome` has them."""
        return Counter(outcome(fate) for fate in self.fates if fate.asked >= since)

    def slowest_s(self, since: float = 0.0) -> float:
        """Return how long the slowest answer took."""
        return max((fate.seconds for fate in self.fates if fate.asked >= since and fate.status), default=0.0)

    def resumed_s(self, moment: float) -> float:
        """Return how long after ``moment`` a request was answered rightly that was asked after it."""
        return min((f.ended for f in self.fates if f.asked >= moment and f.right), default=math.inf) - moment


def outcome(fate: Fate) -> str:
    """Return the outcome of one request: ``200``, ``502 replica_lost``, ``closed``."""
    if fate.right:
        return "200"
    if fate.status == 200:
        return "200 wrong"
    return f"{fate.status} {fate.why}" if fate.status else fate.why or "no answer"


@asynccontextmanager
async def loading(url: str, factor: float = 1.0, *headers: str) -> AsyncIterator[Load]:
    """Open a load on a predict URL of a model that multiplies by ``factor``."""
    load = Load(url, factor, headers)
    try:
        yield load
    finally:
        await load.close()
