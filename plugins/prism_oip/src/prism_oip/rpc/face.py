"""The gRPC server: opened beside the public listener, drained with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc.aio

from prism_core.plugin import Host
from prism_oip.rpc import bounds
from prism_oip.rpc.binding import bind
from prism_oip.rpc.config import GrpcConfig
from prism_oip.rpc.credentials import credentials_of
from prism_oip.rpc.flight import Flight
from prism_oip.rpc.health import health
from prism_oip.rpc.reflection import reflection
from prism_oip.rpc.service import Paths, inference

# When all calls have been answered: for those whose message is still coming, and for clients to close their
# connections. Those that do not, a peer that hangs, would keep a server from stopping.
SETTLE_S = 1.0


class GrpcFace:
    """An open server."""

    def __init__(self, server: Any, url: str, flight: Flight) -> None:
        self._server = server
        self._flight = flight
        self.url = url

    async def drain(self, timeout_s: float) -> None:
        """Accept nothing more; return when what is in flight is answered, or after ``timeout_s``."""
        self._flight.stopping.set()
        stopped = asyncio.ensure_future(self._server.stop(timeout_s))
        landed = asyncio.ensure_future(self._flight.landed())
        try:
            await asyncio.wait({stopped, landed}, return_when=asyncio.FIRST_COMPLETED)
            await self._server.stop(min(SETTLE_S, timeout_s))
            await stopped
        finally:
            landed.cancel()
            stopped.cancel()


@asynccontextmanager
async def serving(config: GrpcConfig, host: Host) -> AsyncIterator[GrpcFace]:
    """Serve gRPC until the end of the block."""
    around, flight = host.surroundings, Flight()
    server = grpc.aio.server(
        options=bounds.options(around.max_body_bytes), maximum_concurrent_rpcs=bounds.CALLS
    )
    paths = inference(host, flight) | health(host, flight) | reflection(flight.stopping)
    server.add_generic_rpc_handlers((Paths(paths),))
    url = bind(server, config, around, credentials_of(around))
    await _started(server)
    try:
        yield GrpcFace(server, url, flight)
    finally:
        flight.stopping.set()
        await server.stop(0)


async def _started(server: Any) -> None:
    """Start a server; one that nobody waits for any more is stopped, which it has to have begun for."""
    starting = asyncio.ensure_future(server.start())
    try:
        await asyncio.shield(starting)
    except asyncio.CancelledError:
        await starting
        await server.stop(0)
        raise
