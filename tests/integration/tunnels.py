"""A link provider that is a real TCP forwarder, and does what real ones do: is cut, freezes, refuses."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress

from prism_core.plugin import LinkProvider, PublicListener


class Forwarder:
    """Takes connections on a port of loopback, and leads them to a listener.

    ``failures`` are raised by the next publishings, one each; ``port`` 0 is another one each time.
    """

    def __init__(self, port: int = 0):
        self.port = port
        self.failures: list[Exception] = []
        self.published = self.withdrawn = self.opened = self.closed = 0
        self.listener: PublicListener | None = None
        self.hang = asyncio.Event()
        self.hang.set()
        self.flowing = asyncio.Event()
        self.flowing.set()
        self._gone = asyncio.Event()
        self._why = ""
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task] = set()

    async def publish(self, listener):
        self.published += 1
        self.listener = listener
        await self.hang.wait()
        if self.failures:
            raise self.failures.pop(0)
        self._gone.clear()
        self._server = await asyncio.start_server(self._forward, "127.0.0.1", self.port)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def withdraw(self):
        self.withdrawn += 1
        await self.hang.wait()
        await self.close()

    async def health(self):
        return "" if self._server else "It is not open."

    async def close(self):
        """Let go of everything."""
        self._close("It was withdrawn.")
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self, why="The connection was cut."):
        """Lose everything, as when the network goes away and the kernel says so."""
        self._close(why)

    def _close(self, why):
        self._why = why
        self._gone.set()
        if self._server:
            self._server.close()
            self._server = None
        for writer in tuple(self._writers):
            writer.transport.abort()
        for task in self._tasks:
            task.cancel()

    async def _forward(self, reader, writer):
        try:
            far_reader, far_writer = await asyncio.open_connection(self.listener.host, self.listener.port)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, far_writer}
        pumps = [
            asyncio.create_task(self._pump(*ends)) for ends in ((reader, far_writer), (far_reader, writer))
        ]
        self._tasks.update(pumps)
        await asyncio.wait(pumps)
        self._tasks.difference_update(pumps)
        for one in (writer, far_writer):
            self._writers.discard(one)
            one.close()

    async def _pump(self, reader, writer):
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                await self.flowing.wait()
                writer.write(data)
                await writer.drain()
            writer.write_eof()


class Noticing(Forwarder):
    """One that notices by itself that it was cut."""

    async def broken(self):
        await self._gone.wait()
        return self._why


def provider(forwarder, name="forwarder", *, tunnel=True, rank=0, available=lambda: ""):
    """Return the record of a link provider that opens ``forwarder``."""

    @asynccontextmanager
    async def open_forwarder(config):
        forwarder.opened += 1
        yield forwarder
        forwarder.closed += 1

    return LinkProvider(name, open=open_forwarder, tunnel=tunnel, rank=rank, available=available)
