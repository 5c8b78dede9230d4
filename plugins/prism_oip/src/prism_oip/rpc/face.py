"""The gRPC server: opened beside the public listener, drained with it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc.aio

from prism_core.plugin import Host
from prism_oip.rpc import bounds
from prism_oip.rpc.binding import bind
from prism_oip.rpc.config import GrpcConfig
from prism_oip.rpc.service import handlers


class GrpcFace:
    """An open server."""

    def __init__(self, server: Any, url: str) -> None:
        self._server = server
        self.url = url

    async def drain(self, timeout_s: float) -> None:
        """Accept nothing more; return when what is in flight is answered, or after ``timeout_s``."""
        await self._server.stop(timeout_s)


@asynccontextmanager
async def serving(config: GrpcConfig, host: Host) -> AsyncIterator[GrpcFace]:
    """Serve gRPC until the end of the block."""
    around = host.surroundings
    server = grpc.aio.server(
        options=bounds.options(around.max_body_bytes), maximum_concurrent_rpcs=bounds.CALLS
    )
    server.add_generic_rpc_handlers(handlers(host))
    url = bind(server, config, around, None)
    await server.start()
    try:
        yield GrpcFace(server, url)
    finally:
        await server.stop(0)
