"""Receive a large body straight into its own memory.

A protocol is handed what arrived as small pieces, and joining those of ten megabytes costs a
copy, fresh memory for it, and the time of everybody else on the event loop. While a large
body arrives `Filling` stands in for the connection's protocol: the kernel writes into the
buffer in which the body stays.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import cast

import numpy as np

# Bodies from here on are large: they go ways of their own, beside the small ones.
LARGE_BYTES = 256 * 1024
# Of a Unix socket, for what is under way. Linux gives 208 KB, so a picture of 600 KB leaves in three
# pieces, and who writes and who reads wait for each other in between.
ROOM_BYTES = 2 * 1024 * 1024


class Filling(asyncio.BufferedProtocol):
    """Receives one body, then gives the connection back.

    Parameters
    ----------
    transport, protocol
        The connection, and whose it is.
    begun
        What has arrived of the body.
    size
        Its whole length.
    done
        Called with all of it, aligned as memory is. The connection is its protocol's again.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        protocol: asyncio.Protocol,
        begun: bytes | memoryview,
        size: int,
        done: Callable[[memoryview], None],
    ) -> None:
        self._transport = transport
        self._protocol = protocol
        # Not a bytearray: that is filled with zeros first.
        self._view = np.empty(size, dtype=np.uint8).data
        self._at = len(begun)
        self._view[: self._at] = begun
        self._done = done
        self._hand_to(self)

    @property
    def received(self) -> int:
        """How many bytes have arrived."""
        return self._at

    def stop(self) -> None:
        """Give the connection back as it is; what has arrived is dropped."""
        self._hand_to(self._protocol)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return the memory that is still empty."""
        return self._view[self._at :]

    def buffer_updated(self, nbytes: int) -> None:
        """Take note of what has arrived."""
        self._at += nbytes
        if self._at == len(self._view):
            self._hand_to(self._protocol)
            self._done(self._view)

    def eof_received(self) -> bool | None:
        """Pass on that the peer sends no more."""
        return self._protocol.eof_received()

    def connection_lost(self, error: Exception | None) -> None:
        """Pass on that the connection is gone."""
        self._protocol.connection_lost(error)

    def pause_writing(self) -> None:
        """Pass on that the peer is slow."""
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """Pass on that the peer has caught up."""
        self._protocol.resume_writing()

    def _hand_to(self, protocol: asyncio.BaseProtocol) -> None:
        if self._transport.is_closing():
            return
        # uvloop decides how it reads when reading begins.
        self._transport.pause_reading()
        self._transport.set_protocol(protocol)
        self._transport.resume_reading()


def make_room(transport: asyncio.BaseTransport) -> None:
    """Let a large body leave over a Unix socket in one write, as far as the system allows that."""
    ours: socket.socket | None = transport.get_extra_info("socket")
    if ours is not None and ours.family == getattr(socket, "AF_UNIX", None):  # Windows has none
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, ROOM_BYTES)


def write_all(transport: asyncio.Transport, parts: list[bytes | bytearray | memoryview]) -> None:
    """Write ``parts``: small ones in one piece, large ones without a copy."""
    if len(parts) == 1:
        transport.write(parts[0])
    elif max(map(len, parts)) < LARGE_BYTES:
        transport.write(b"".join(parts))
    else:
        transport.writelines(cast("list[bytes]", parts))
