"""The record of the gRPC frontend. Imports no grpc: that is done when it is opened."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from prism_core.plugin import Face, Frontend, Host
from prism_oip.rpc.config import GrpcConfig, available, wanted


@asynccontextmanager
async def _open(config: GrpcConfig, host: Host) -> AsyncIterator[Face | None]:
    if config.port == "off":
        yield None
        return
    serving = await asyncio.to_thread(_imported)  # requests are answered meanwhile
    async with serving(config, host) as face:
        yield face


def _imported() -> Any:
    # Its C library writes lines of its own on stderr, of clients that do odd things, too.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from prism_oip.rpc.face import serving

    return serving


_opening: Any = _open
FRONTEND = Frontend(
    "grpc", open=_opening, config=GrpcConfig, available=available, listener="own", wanted=wanted
)
