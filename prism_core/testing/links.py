"""`LinkContract`: what every link provider must do, as tests to inherit.

For example::

    class TestTunnel(LinkContract):
        def open(self):
            return open_tunnel(TunnelConfig())
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from urllib.parse import urlsplit

import pytest

from prism_core.protocols import Linker, PublicListener

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nprism"


class LinkContract:
    """Tests of a `Linker`. Subclass, and say how it is opened.

    Attributes
    ----------
    host
        The address that the public listener is bound to.
    ready_s
        How long a new link may take until it works.
    """

    host: str = "127.0.0.1"
    ready_s: float = 30.0

    pytestmark = pytest.mark.asyncio

    @abstractmethod
    def open(self) -> AbstractAsyncContextManager[Linker]:
        """Return the linker, to be entered."""

    async def request(self, url: str) -> bytes:
        """Return the body of ``GET url``. Override it where the link speaks TLS."""
        parts = urlsplit(url)
        assert parts.hostname is not None
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
        try:
            head = f"GET {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n"
            writer.write(head.encode())
            return (await reader.read()).partition(b"\r\n\r\n")[2]
        finally:
            writer.close()
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
        async with self.open() as linker, self.listening() as listener:
            url = await linker.publish(listener)

            async with asyncio.timeout(self.ready_s):
                assert await self.request(f"{url}/health/live") == b"prism"
            await linker.withdraw()

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

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[PublicListener]:
        """Answer every request with "prism", on a free port."""

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(ANSWER)
            await writer.drain()
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(answer, self.host, 0)
        async with server:
            yield PublicListener(self.host, server.sockets[0].getsockname()[1])
