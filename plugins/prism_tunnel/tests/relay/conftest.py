"""A relay in the test's own process, servers to publish, and visitors who speak bytes."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager

import attrs
import pytest

from prism_core.plugin import PublicListener
from prism_tunnel.relay import clients
from prism_tunnel.relay.clients import Client
from prism_tunnel.relay.hall import RelaySettings
from prism_tunnel.relay.joining import Join
from prism_tunnel.relay.linker import RelayLinker
from prism_tunnel.relay.serving import Place, open_relay

DOMAIN = "links.test"


def client_of(name, token, **said):
    """Return a client with no limits but those that are said."""
    plain = {
        "name": name, "digest": clients.digest_of(token), "keys": (), "names": (name,), "rate": "",
        "max_names": 0, "max_connections": 0, "bytes_s": 0, "created": time.time(), "expires": 0.0,
    }  # fmt: skip
    return Client(**{**plain, **said})


@attrs.define(eq=False)
class Relay:
    """A relay that runs, and its clients."""

    place: Place
    open: object

    @property
    def hall(self):
        return self.open.hall

    def join(self, name, **said):
        """Let a client in, and return what it joins with."""
        token = clients.new_token()
        clients.add(self.place.clients, client_of(name, token, **said))
        self.hall.clients.look()
        return Join("127.0.0.1", self.open.ssh_port, name, token, self.open.fingerprint)

    @asynccontextmanager
    async def published(self, port, name="ann", **said):
        """Publish a port under a name."""
        linker = RelayLinker(self.join(name, **said), name)
        try:
            await linker.publish(PublicListener("127.0.0.1", port))
            yield linker
        finally:
            await linker.withdraw()

    def serving(self, answer):
        """Run ``answer(reader, writer)`` for every connection to a free port."""
        return running(answer)

    async def settled(self, holds):
        """Wait until something holds that no event tells of."""
        async with asyncio.timeout(10):
            while not holds():
                await asyncio.sleep(0.01)

    async def visit(self):
        """Connect as a visitor."""
        return await asyncio.open_connection("127.0.0.1", self.open.http_port)

    async def ask(self, path="/", name="ann", method="GET", headers="", body=b""):
        """Send one request on a connection of its own; return the answer's status, head and body."""
        reader, writer = await self.visit()
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {name}.{DOMAIN}\r\nConnection: close\r\n{length}{headers}\r\n"
        )
        writer.write(head.encode() + body)
        try:
            async with asyncio.timeout(20):
                head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        finally:
            writer.close()
        return int(head.split()[1]), head, body


@pytest.fixture
def settings():
    """What the relay is told; a test that wants more overrides it."""
    return RelaySettings(DOMAIN, host="127.0.0.1", ssh_port=0, http_port=0, https_port=None, drain_s=1)


@pytest.fixture
async def relay(tmp_path, settings):
    """A relay; what is still open after a minute is cut, so that a test which waits for it fails."""
    place = Place(tmp_path / "relay")
    async with open_relay(settings, place) as found:
        cutting = asyncio.get_running_loop().call_later(60, _cut, found.hall)
        yield Relay(place, found)
        cutting.cancel()


def _cut(hall):
    for visitor in list(hall.visitors):
        visitor.cut()
    for publisher in list(hall.publishers):
        publisher.end("The test took too long.")


@asynccontextmanager
async def running(answer):
    """Run ``answer(reader, writer)`` for every connection to a free port."""
    tasks = set()

    async def connected(reader, writer):
        tasks.add(asyncio.current_task())
        try:
            await answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            tasks.discard(asyncio.current_task())

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def echoing(reader, writer):
    """Answer each request with its own bytes, as they came."""
    while True:
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = next((int(one.split(b":")[1]) for one in lines if one.startswith(b"content-length:")), 0)
        body = await reader.readexactly(length)
        if b"transfer-encoding: chunked" in lines:
            body = await reader.readuntil(b"0\r\n\r\n")
        said = head + body
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(said), said))
        await writer.drain()


@pytest.fixture
async def echo():
    """The port of a server that answers with what it was asked."""
    async with running(echoing) as port:
        yield port


@pytest.fixture
def serving():
    """What runs ``answer(reader, writer)`` for every connection to a free port, and yields the port."""
    return running
