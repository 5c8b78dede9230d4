"""The record of the gRPC frontend. Imports no grpc: that is done when it is opened."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from prism_core.plugin import Face, Frontend, Host
from prism_oip.rpc.config import GrpcConfig, available, wanted

# What the C library reads once, when it begins. It would write lines of its own on stderr, of clients that do
# odd things, too. And its newer way to accept hands each request from one thread to another twice more: 167
# instead of 136 us of processor time for an echo at 64 connections, 340 instead of 250 us to wait for one
# alone. A name that a later release does not know is ignored.
VARIABLES = {"GRPC_VERBOSITY": "NONE", "GRPC_EXPERIMENTS": "-event_engine_listener"}


@asynccontextmanager
async def _open(config: GrpcConfig, host: Host) -> AsyncIterator[Face | None]:
    if config.port == "off":
        yield None
        return
    with _set(VARIABLES) as unset:
        serving = await asyncio.to_thread(_imported)  # requests are answered meanwhile
        async with serving(config, host) as face:
            unset()
            yield face


def _imported() -> Any:
    from prism_oip.rpc.face import serving

    return serving


@contextmanager
def _set(variables: Mapping[str, str]) -> Iterator[Any]:
    """Set those variables that are not set; yield what undoes it: no replica is to inherit them."""
    ours = [name for name in variables if name not in os.environ]

    def unset() -> None:
        for name in ours:
            os.environ.pop(name, None)

    os.environ.update({name: variables[name] for name in ours})
    try:
        yield unset
    finally:
        unset()


_opening: Any = _open
FRONTEND = Frontend(
    "grpc", open=_opening, config=GrpcConfig, available=available, listener="own", wanted=wanted
)
