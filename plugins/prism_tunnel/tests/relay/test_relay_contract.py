"""The provider does what every link provider must do."""

import asyncio
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest

from prism_core.testing import LinkContract
from prism_tunnel.relay.config import RelayConfig
from prism_tunnel.relay.linker import open_linker


class TestRelay(LinkContract):
    """Its relay runs beside it; the names of its links are in no DNS."""

    @pytest.fixture(autouse=True)
    def _there(self, relay):
        self.relay = relay
        self.config = RelayConfig(join=str(relay.join("ann")))

    @asynccontextmanager
    async def open(self):
        async with open_linker(self.config) as linker:
            yield linker

    async def request(self, url):
        parts = urlsplit(url)
        reader, writer = await asyncio.open_connection("127.0.0.1", parts.port)
        writer.write(
            f"GET {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode()
        )
        body = (await reader.read()).partition(b"\r\n\r\n")[2]
        writer.close()
        return body
