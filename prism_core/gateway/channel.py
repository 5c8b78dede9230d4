"""Between the leading gateway and a follower: messages over a socket pair, in order.

A message is ``<length: u32 LE> <msgpack>``. Both ends are of one release, so there is no
version in it; a message that cannot be read ends the channel.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar, cast

import msgspec

from prism_core.gateway.callers.keys import Key
from prism_core.gateway.callers.link import Link
from prism_core.gateway.table import SharedModel
from prism_core.gateway.traffic.kinds import TrafficRecord
from prism_core.protocols import Spending
from prism_core.settings import Settings
from prism_core.specs import CallRecord

LENGTH = struct.Struct("<I")


class Start(msgspec.Struct):
    """What a follower is started with, on its standard input.

    ``private`` is the path of the leader's own socket, for all requests that are not
    predictions. ``json`` is how the leader logs. ``key`` is what redacted texts are hashed with.
    """

    settings: Settings
    private: str
    json: bool
    key: bytes = b""


# --- leader -> follower -------------------------------------------------------------------


class Update(msgspec.Struct, tag="update", frozen=True):
    """Serve this from now on: models that have changed, None for those that are gone."""

    models: dict[str, SharedModel | None]


class Ask(msgspec.Struct, tag="ask", frozen=True):
    """Say `Told` when everything before it has been done.

    ``quiet``: only when nothing is in flight any more on what was taken out of service.
    """

    id: int
    quiet: bool = False


class Accept(msgspec.Struct, tag="accept", frozen=True):
    """Accept connections: everything that has changed until now was told before."""


class Disappoint(msgspec.Struct, tag="disappoint", frozen=True):
    """Refuse the calls that wait for a replica of a version; the error as in `wire.Error`."""

    model: str
    version: int
    code: str
    message: str
    hint: str
    details: dict[str, Any]


class Drain(msgspec.Struct, tag="drain", frozen=True):
    """Accept no more, answer what is in flight, end."""


class Keys(msgspec.Struct, tag="keys", frozen=True):
    """These API keys are valid from now on, and no others."""

    keys: list[Key]


class Links(msgspec.Struct, tag="links", frozen=True):
    """These links are valid from now on, and no others."""

    links: list[Link]


class Spent(msgspec.Struct, tag="spent", frozen=True):
    """What callers have used of their quotas, in all gateways."""

    totals: dict[str, int]


class Weights(msgspec.Struct, tag="weights", frozen=True):
    """What was learned of splits: their weights by model and reference; none: as the route says."""

    models: dict[str, dict[str, float]]

    def give(self, weights: dict[str, Mapping[str, float]]) -> None:
        """Put them in place of those that were."""
        for model, learned in self.models.items():
            if learned:
                weights[model] = learned
            else:
                weights.pop(model, None)


class Ahead(msgspec.Struct, tag="ahead", frozen=True):
    """The answer to `LetIn`: in how many seconds each bucket is full; or why that cannot be told."""

    id: int
    ahead_s: list[float]
    reason: str


# --- follower -> leader -------------------------------------------------------------------


class Ready(msgspec.Struct, tag="ready", frozen=True):
    """The start is over, and the first `Update` has come."""


class Accepting(msgspec.Struct, tag="accepting", frozen=True):
    """Connections are welcome."""


class Records(msgspec.Struct, tag="records", frozen=True):
    """Predictions that were answered."""

    records: list[CallRecord]


class Routed(msgspec.Struct, tag="routed", frozen=True):
    """What was found out about routed requests."""

    records: list[TrafficRecord]


class Told(msgspec.Struct, tag="told", frozen=True):
    """The answer to `Ask`: model, version and number of what is in flight now."""

    id: int
    in_flight: list[tuple[str, int, int]]


class Wake(msgspec.Struct, tag="wake", frozen=True):
    """A request waits for a version that has no replica."""

    model: str
    version: int


class CallerUses(msgspec.Struct, tag="uses", frozen=True):
    """Callers that were seen, what was used of quotas, how many were refused for what, since it last told."""

    callers: list[str]
    spent: dict[str, int]
    refused: dict[str, int] = {}


class LetIn(msgspec.Struct, tag="let_in", frozen=True):
    """Requests that were let in, to be taken from the leader's buckets."""

    id: int
    spendings: list[Spending]


Command = Update | Ask | Accept | Disappoint | Drain | Keys | Links | Spent | Weights | Ahead
Report = Ready | Accepting | Records | Routed | Told | Wake | CallerUses | LetIn
Heard = TypeVar("Heard")

_encode = msgspec.msgpack.Encoder().encode


def encode_start(start: Start) -> bytes:
    """Return a follower's standard input."""
    return msgspec.json.encode(start, enc_hook=str)  # paths


def decode_start(data: bytes) -> Start:
    """Read what `encode_start` wrote."""
    return msgspec.json.decode(data, type=Start, dec_hook=lambda kind, value: kind(value))


def encode(message: Command | Report) -> bytes:
    """Return a message with its length."""
    body = _encode(message)
    return LENGTH.pack(len(body)) + body


class Channel(asyncio.Protocol, Generic[Heard]):
    """One end. Made by `open_channel`.

    Attributes
    ----------
    lost
        Set when the other end is gone.
    """

    def __init__(self, decoder: msgspec.msgpack.Decoder[Any], hear: Callable[[Heard], None]) -> None:
        self.lost = asyncio.Event()
        self._decode = decoder.decode
        self._hear = hear
        self._held = bytearray()
        self._transport: asyncio.Transport | None = None

    def send(self, message: Command | Report) -> None:
        """Send a message; nothing where the other end is gone."""
        if self._transport and not self._transport.is_closing():
            self._transport.write(encode(message))

    async def finish(self) -> None:
        """Send no more; return when the other end has read everything and closed.

        Closing at once could lose what it has not read yet, if it writes at that moment.
        """
        if self._transport and not self._transport.is_closing():
            self._transport.write_eof()
            await self.lost.wait()

    def close(self) -> None:
        """Close."""
        if self._transport:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:  # noqa: D102 - asyncio's
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: D102 - asyncio's
        self.lost.set()

    def data_received(self, data: bytes) -> None:  # noqa: D102 - asyncio's
        self._held += data
        while (end := self._end()) is not None:
            body = bytes(self._held[LENGTH.size : end])
            del self._held[:end]
            try:
                message = self._decode(body)
            except msgspec.MsgspecError:
                assert self._transport is not None
                self._transport.abort()
                return
            self._hear(message)

    def _end(self) -> int | None:
        """Return where the first message ends, if it is whole."""
        if len(self._held) < LENGTH.size:
            return None
        end = LENGTH.size + int(LENGTH.unpack_from(self._held)[0])
        return end if len(self._held) >= end else None


async def leaders_end(sock: socket.socket, hear: Callable[[Report], None]) -> Channel[Report]:
    """Open the leader's end; ``hear`` is called with every `Report`."""
    return await _open(sock, Channel(msgspec.msgpack.Decoder(Report), hear))


async def followers_end(sock: socket.socket, hear: Callable[[Command], None]) -> Channel[Command]:
    """Open the follower's end; ``hear`` is called with every `Command`."""
    return await _open(sock, Channel(msgspec.msgpack.Decoder(Command), hear))


async def _open(sock: socket.socket, channel: Channel[Heard]) -> Channel[Heard]:
    sock.setblocking(False)
    await asyncio.get_running_loop().create_unix_connection(lambda: channel, sock=sock)
    return channel
