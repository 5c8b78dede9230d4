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
from prism_oip.rpc.health import health
from prism_oip.rpc.reflection import reflection
from prism_oip.rpc.service import Paths, inference


class GrpcFace:
    """An open server.

    Parameters
    ----------
    stopping
        Set when nothing more is accepted; streams that wait for requests end then.
    """

    def __init__(self, server: Any, url: str, stopping: asyncio.Event) -> None:
        self._server = server
        self._stopping = stopping
        self.url = url

    async def drain(self, timeout_s: float) -> None:
        """Accept nothing more; return when what is in flight is answered, or after ``timeout_s``."""
        self._stopping.set()
        await self._server.stop(timeout_s)


@asynccontextmanager
async def serving(config: GrpcConfig, host: Host) -> AsyncIterator[GrpcFace]:
    """Serve gRPC until the end of the block."""
    around, stopping = host.surroundings, asyncio.Event()
    server = grpc.aio.server(
        options=bounds.options(around.max_body_bytes), maximum_concurrent_rpcs=bounds.CALLS
    )
    paths = inference(host, stopping) | health(host, stopping) | reflection(stopping)
    server.add_generic_rpc_handlers((Paths(paths),))
    url = bind(server, config, around, credentials_of(around))
    await _started(server)
    try:
        yield GrpcFace(server, url, stopping)
    finally:
        stopping.set()
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
