"""The provider does what every tunnel must do, by names and by paths."""

import asyncio
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import attrs
import pytest

from prism_core.testing import TunnelContract
from prism_tunnel.relay.config import RelayConfig
from prism_tunnel.relay.linker import open_linker


class TestRelay(TunnelContract):
    """Its relay runs beside it; the names of its links are in no DNS."""

    @pytest.fixture(autouse=True)
    def _there(self, relay):
        self.relay = relay
        self.config = RelayConfig(join=str(relay.join("ann")))

    @asynccontextmanager
    async def open(self):
        async with open_linker(self.config) as linker:
            yield linker

    async def connect(self, url):
        return await asyncio.open_connection("127.0.0.1", urlsplit(url).port)

    async def lose(self, linker):
        for publisher in self.relay.hall.publishers:
            publisher.connection.abort()


class TestRelayWithPaths(TestRelay):
    """The same below a path."""

    @pytest.fixture
    def settings(self, settings):
        return attrs.evolve(settings, paths=True)
