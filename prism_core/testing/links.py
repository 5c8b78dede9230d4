"""`LinkContract` and `TunnelContract`: what every link provider must do, as tests to inherit.

For example::

    class TestTunnel(TunnelContract):
        def open(self):
            return open_tunnel(TunnelConfig())
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from abc import abstractmethod
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from urllib.parse import urlsplit

import pytest

from prism_core.protocols import Breaks, Linker, PublicListener

# Larger than what buffers on the way hold, so that it has to flow.
LARGE_BYTES = 8 << 20
PIECE_BYTES = 1 << 16
VISITORS = 20

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class LinkContract:
    """Tests of a `Linker`. Subclass, and say how it is opened.

    Attributes
    ----------
    host
        The address that the listener is bound to.
    ready_s
        How long a new link may take until it works.
    """

    host: str = "127.0.0.1"
    ready_s: float = 30.0

    pytestmark = pytest.mark.asyncio

    @abstractmethod
    def open(self) -> AbstractAsyncContextManager[Linker]:
        """Return the linker, to be entered."""

    def tls(self) -> ssl.SSLContext:
        """Return how a link that begins with https is verified."""
        return ssl.create_default_context()

    async def connect(self, url: str) -> Streams:
        """Connect to where ``url`` leads, as a stranger. Override it where its name is in no DNS."""
        parts = urlsplit(url)
        assert parts.hostname is not None
        secure = parts.scheme == "https"
        port = parts.port or (443 if secure else 80)
        return await asyncio.open_connection(parts.hostname, port, ssl=self.tls() if secure else None)

    async def request(self, url: str, body: bytes = b"") -> bytes:
        """Return the body of the answer to ``POST url``, or ``GET url`` where there is no ``body``."""
        async with self.asking(url, body) as reader:
            return await reader.read()

    @asynccontextmanager
    async def asking(self, url: str, body: bytes = b"") -> AsyncIterator[asyncio.StreamReader]:
        """Ask, and yield what the answer's body is read from."""
        reader, writer = await self.connect(url)
        sending = asyncio.create_task(_send(writer, _head(url, len(body)), body))
        try:
            await reader.readuntil(b"\r\n\r\n")
            yield reader
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def test_the_link_is_a_base_url(self) -> None:
        """Paths are put behind it, so it has no slash, query or fragment at its end."""
        async with self.open() as linker, self.listening() as listener:
            url = urlsplit(await linker.publish(listener))

            assert url.scheme in ("http", "https")
            assert url.hostname
            assert not url.path.endswith("/")
            assert not url.query
            assert not url.fragment
            await linker.withdraw()

    async def test_the_link_leads_to_the_listener(self) -> None:
        """Whoever has it reaches the server."""
        async with self.published() as (_, _, url):
            assert await self.request(f"{url}/health/live") == b"prism"

    async def test_a_published_link_is_healthy(self) -> None:
        """Health is "" then, else a sentence."""
        async with self.open() as linker, self.listening() as listener:
            await linker.publish(listener)

            assert await linker.health() == ""
            await linker.withdraw()

    async def test_withdrawing_is_safe(self) -> None:
        """Before anything was published, and twice."""
        async with self.open() as linker, self.listening() as listener:
            await linker.withdraw()
            await linker.publish(listener)
            await linker.withdraw()
            await linker.withdraw()

    async def test_it_can_be_published_again(self) -> None:
        """After it was withdrawn."""
        async with self.open() as linker, self.listening() as listener:
            await linker.publish(listener)
            await linker.withdraw()
            url = await linker.publish(listener)

            async with asyncio.timeout(self.ready_s):
                assert await self.request(url) == b"prism"
            await linker.withdraw()

    @asynccontextmanager
    async def published(self) -> AsyncIterator[tuple[Linker, PublicListener, str]]:
        """Yield an open linker, what it leads to, and its URL; all has to be done in `ready_s`."""
        async with self.open() as linker, self.listening() as listener, asyncio.timeout(self.ready_s):
            yield linker, listener, await linker.publish(listener)
            await linker.withdraw()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[PublicListener]:
        """Answer requests on a free port: see `Answers`."""
        server = await asyncio.start_server(Answers().answer, self.host, 0)
        async with server:
            yield PublicListener(self.host, server.sockets[0].getsockname()[1])


class TunnelContract(LinkContract):
    """Tests of a `Linker` that leads in from elsewhere: of a provider with ``tunnel=True``."""

    async def lose(self, linker: Linker) -> None:
        """Let what was published be lost, as if a cable was pulled. Override it."""
        pytest.skip("`lose` does not say how what was published is lost.")

    async def test_the_listener_is_not_shown(self) -> None:
        """Its address is nobody's affair: who has the link knows that of the tunnel."""
        async with self.published() as (_, listener, url):
            assert urlsplit(url).netloc != f"{listener.host}:{listener.port}"

    async def test_nothing_answers_what_was_withdrawn(self) -> None:
        """A link that is closed leads nowhere, at least not here."""
        async with self.open() as linker, self.listening() as listener:
            url = await linker.publish(listener)
            await linker.withdraw()

            answer = b""
            with suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
                async with asyncio.timeout(self.ready_s):
                    answer = await self.request(url)
            assert answer != b"prism"

    async def test_it_says_that_it_was_withdrawn(self) -> None:
        """Whoever waits for its end hears of it."""
        async with self.published() as (linker, _, _):
            if not isinstance(linker, Breaks):
                return
            broken = asyncio.create_task(linker.broken())
            done, _ = await asyncio.wait({broken}, timeout=0.2)
            assert not done, "it says that it is gone while it is there"
            await linker.withdraw()

            assert await broken

    async def test_it_says_that_it_was_lost(self) -> None:
        """And can be published again then."""
        async with self.published() as (linker, listener, _):
            await self.lose(linker)

            if isinstance(linker, Breaks):
                assert await linker.broken()
            assert await linker.health() != ""
            await linker.withdraw()
            assert await self.request(await linker.publish(listener)) == b"prism"

    async def test_visitors_come_at_once(self) -> None:
        """Each gets its own answer."""
        async with self.published() as (_, _, url):
            asked = [f"visitor {number}".encode() * 100 for number in range(VISITORS)]

            assert await asyncio.gather(*(self.request(f"{url}/echo", one) for one in asked)) == asked

    async def test_large_bodies_go_both_ways(self) -> None:
        """Not one byte is lost, doubled or changed."""
        body = b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(LARGE_BYTES // 32))
        async with self.published() as (_, _, url):
            answer = await self.request(f"{url}/echo", body)

            assert len(answer) == len(body)
            assert hashlib.sha256(answer).digest() == hashlib.sha256(body).digest()

    async def test_what_is_sent_arrives_before_all_of_it_is_there(self) -> None:
        """Nothing on the way waits for the end of a body: the second half is sent when the first was read."""
        async with self.published() as (_, _, url), self.asking(f"{url}/halves") as first:
            assert await first.readexactly(5) == b"first"
            async with self.asking(f"{url}/go"):
                assert await first.read() == b"second"


class Answers:
    """A server for tests: "prism" to everything but these paths.

    ``/echo`` answers with the request's body, as it comes; ``/halves`` answers "first", and "second"
    when somebody has asked for ``/go``.
    """

    def __init__(self) -> None:
        self._go = asyncio.Event()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection, for one request."""
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            path = urlsplit(head.split(" ")[1]).path
            if path.endswith("/echo"):
                await _echo(reader, writer, _length(head))
            elif path.endswith("/halves"):
                await self._halves(writer)
            else:
                if path.endswith("/go"):
                    self._go.set()
                await _send(writer, _ok(5), b"prism")
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    async def _halves(self, writer: asyncio.StreamWriter) -> None:
        await _send(writer, _ok(11), b"first")
        await self._go.wait()
        await _send(writer, b"second")


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, length: int) -> None:
    writer.write(_ok(length))
    while length:
        piece = await reader.read(min(length, PIECE_BYTES))
        if not piece:
            return
        length -= len(piece)
        await _send(writer, piece)


async def _send(writer: asyncio.StreamWriter, *parts: bytes) -> None:
    with suppress(ConnectionError):
        for part in parts:
            writer.write(part)
            await writer.drain()


def _head(url: str, length: int) -> bytes:
    parts = urlsplit(url)
    lines = [
        f"{'POST' if length else 'GET'} {parts.path or '/'} HTTP/1.1",
        f"Host: {parts.netloc}",
        "Connection: close",
        *([f"Content-Length: {length}"] if length else []),
    ]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode()


def _ok(length: int) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % length


def _length(head: str) -> int:
    for line in head.split("\r\n"):
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            return int(value)
    return 0
