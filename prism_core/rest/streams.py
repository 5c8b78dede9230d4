"""Answers that go on: they end when their source does, when the client leaves, or when the server stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import attrs


async def disconnected(receive: Any) -> None:
    """Return when the client has gone; what is left of its body is dropped."""
    while (await receive())["type"] != "http.disconnect":
        pass


@attrs.frozen(eq=False)
class Stream:
    """An ASGI application that sends ``chunks`` as they come.

    Parameters
    ----------
    chunks
        What is sent; closed at the end, however that comes.
    media_type
        The answer's content type.
    stopping
        Set when the server stops: an endless answer must not hold that up.
    """

    chunks: AsyncGenerator[bytes, None]
    media_type: str
    stopping: asyncio.Event

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request."""
        await start(send, self.media_type)
        tasks = [
            asyncio.ensure_future(self._send(send)),
            asyncio.ensure_future(disconnected(receive)),
            asyncio.ensure_future(self.stopping.wait()),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks[1:]:
                task.cancel()
            if not tasks[0].done():
                tasks[0].cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        if isinstance(outcomes[0], Exception):
            raise outcomes[0]
        await finish(send)

    async def _send(self, send: Any) -> None:
        async with aclosing(self.chunks) as chunks:
            async for chunk in chunks:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})


async def start(send: Any, media_type: str) -> None:
    """Begin an answer whose length is not known."""
    headers = [
        (b"content-type", media_type.encode()),
        (b"cache-control", b"no-store"),
        # Proxies such as nginx would collect the lines of a stream otherwise.
        (b"x-accel-buffering", b"no"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    # The client is to see that it has been heard, also while there is nothing to say yet.
    await send({"type": "http.response.body", "body": b"", "more_body": True})


async def finish(send: Any) -> None:
    """End the answer."""
    await send({"type": "http.response.body", "body": b""})


async def with_heartbeat(
    source: AsyncIterator[bytes], every_s: float, beat: bytes
) -> AsyncGenerator[bytes, None]:
    """Yield what ``source`` yields, and ``beat`` whenever it was silent for ``every_s`` seconds."""
    following = asyncio.ensure_future(anext(source))
    try:
        while True:
            done, _ = await asyncio.wait({following}, timeout=every_s)
            if not done:
                yield beat
                continue
            try:
                chunk = following.result()
            except StopAsyncIteration:
                return
            yield chunk
            following = asyncio.ensure_future(anext(source))
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        if isinstance(source, AsyncGenerator):
            await source.aclose()
