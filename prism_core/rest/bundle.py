"""One version as a bundle: a file whose length is known before its first byte is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import attrs

from prism_core import tars
from prism_core.bundle import MEDIA_TYPE, entries
from prism_core.gateway.gateway import Gateway
from prism_core.rest.streams import disconnected


@attrs.frozen(eq=False)
class Frozen:
    """An ASGI application that sends a version's bundle."""

    gateway: Gateway
    model: str
    version: int

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request; what is sent stays in the store until then."""
        async with self.gateway.frozen(self.model, self.version) as (bundle, artifact):
            files = await asyncio.to_thread(entries, bundle, artifact)
            headers = [
                (b"content-type", MEDIA_TYPE.encode()),
                (b"content-length", b"%d" % tars.length(files)),
                (b"content-disposition", f'attachment; filename="{bundle.filename}"'.encode()),
                (b"cache-control", b"no-store"),
            ]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            sending = asyncio.ensure_future(_send(tars.stream(files), send))
            leaving = asyncio.ensure_future(disconnected(receive))
            try:
                await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                leaving.cancel()
                sending.cancel()
                await asyncio.gather(leaving, return_exceptions=True)
            if not sending.cancelled():
                await sending


async def _send(chunks: Iterator[bytes], send: Any) -> None:
    while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
