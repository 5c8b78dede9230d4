"""Head and body of an answer in one write.

uvicorn writes them one after the other and uvloop sends each at once: two system calls
and two segments an answer. Writes of one turn of the event loop are collected here: a
sixth more small predictions a second at 64 connections.
"""

from __future__ import annotations

import asyncio
from typing import Any

from prism_core.filling import write_all


class OneWrite:
    """A transport that collects writes until the end of the event loop's turn.

    Attributes
    ----------
    unread
        The client still sends a request's body. Closing now would make the kernel say
        "reset", and the client might lose the answer that it has not read yet.
    lingering
        Closed as far as this side is concerned; the connection is, once the rest has come.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self.unread = self.lingering = False
        self._transport = transport
        self._loop = loop
        self._waiting: list[bytes | bytearray | memoryview] = []

    def write(self, data: bytes | memoryview) -> None:
        """Write ``data`` soon."""
        if not self._waiting:
            self._loop.call_soon(self._flush)
        self._waiting.append(data)

    def close(self) -> None:
        """Write what waits, then close."""
        self._flush()
        if self.unread and not self.lingering:
            self.lingering = True
            if self._transport.can_write_eof():  # TLS has no half of an end
                self._transport.write_eof()
        else:
            self._transport.close()

    def is_closing(self) -> bool:
        """Return whether nothing can be written any more."""
        return self.lingering or self._transport.is_closing()

    def _flush(self) -> None:
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            write_all(self._transport, waiting)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
