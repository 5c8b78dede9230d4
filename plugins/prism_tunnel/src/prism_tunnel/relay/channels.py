"""One SSH channel to a laptop: what a visitor's connection is on the other side of the tunnel."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Protocol

import asyncssh

from prism_tunnel.relay.table import Publication
from prism_tunnel.relay.valves import Valve

# What a laptop may send into one channel before it is read. Over 50 ms that lets 10 MB/s through, and a
# download that fills a slow uplink stands before a small answer with no more than this.
WINDOW = 512 * 1024


class Listens(Protocol):
    """Who is told what a channel brings."""

    def answered(self, data: bytes) -> None:
        """Take bytes of the laptop's server."""

    def answer_ended(self) -> None:
        """Learn that no more bytes come."""

    def channel_full(self, full: bool) -> None:
        """Learn whether more should be written into the channel."""


class Channel(asyncssh.SSHTCPSession[bytes]):
    """Carries bytes to the server that a laptop publishes, and back."""

    def __init__(self, publication: Publication, listener: Listens) -> None:
        self.publication = publication
        self.used_at = 0.0
        self.open = False
        self._listener: Listens | None = listener
        self._channel: asyncssh.SSHTCPChannel[bytes] | None = None
        self.valve = Valve(self._pause, self._resume)

    def connection_made(self, chan: asyncssh.SSHTCPChannel[bytes]) -> None:
        """Begin."""
        self._channel = chan
        self.open = True

    def data_received(self, data: bytes, datatype: Any = None) -> None:
        """Hand on what the laptop's server says."""
        if self._listener:
            self._listener.answered(data)

    def eof_received(self) -> bool:
        """Take the laptop's server at its word: one that has said all is not asked again."""
        self._ended()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Learn that the channel is gone."""
        self._ended()
        self._channel = None

    def _ended(self) -> None:
        was_open, self.open = self.open, False
        if was_open and self._listener:
            self._listener.answer_ended()

    def pause_writing(self) -> None:
        """Hold the visitor."""
        if self._listener:
            self._listener.channel_full(True)

    def resume_writing(self) -> None:
        """Let the visitor go on."""
        if self._listener:
            self._listener.channel_full(False)

    def write(self, data: bytes) -> None:
        """Send bytes to the laptop's server."""
        if self._channel and self.open and data:
            with suppress(OSError):  # closed by the other side, which is told by `answer_ended`
                self._channel.write(data)

    def write_eof(self) -> None:
        """Say that the visitor says no more."""
        if self._channel and self.open:
            with suppress(OSError):
                self._channel.write_eof()

    def leave(self) -> None:
        """Close it; whatever comes of it is nobody's."""
        self._listener, self.open = None, False
        if self._channel:
            self._channel.abort()

    def _pause(self) -> None:
        if self._channel:
            self._channel.pause_reading()

    def _resume(self) -> None:
        if self._channel:
            self._channel.resume_reading()


async def open_channel(publication: Publication, listener: Listens, address: str) -> Channel:
    """Open a channel to the server that is published.

    Raises
    ------
    asyncssh.Error, OSError
        If the laptop does not take it, or its server does not listen.
    """
    connection = publication.publisher.connection
    session = Channel(publication, listener)
    await connection.create_connection(
        lambda: session, publication.name, publication.port, address, 0, window=WINDOW
    )
    return session
