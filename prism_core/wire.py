"""Frames between the gateway and a runtime, as bytes. No I/O.

A frame is ``<header length: u32 LE> <body length: u32 LE> <header: msgpack> <body>``. The
header is a msgpack array that begins with the frame's kind; fields that a peer does not
know stand at its end and are ignored, an unknown kind is a `WireError`. The body is
passed through untouched: it is the HTTP body of a request or of an answer.

Header lengths are small, so the fourth byte of a connection is zero; in every HTTP
method it is a letter. That is how one socket speaks both.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import msgspec

PROTOCOL = 1
PREFIX = struct.Struct("<II")
MAX_HEADER_BYTES = 1 << 20
MAX_BODY_BYTES = 1 << 31
# The style of a call whose answer is for an ensemble: all that can be combined, whatever is asked for.
MEMBER = "member"


class WireError(Exception):
    """The peer does not speak the protocol; the connection is to be closed."""


class Frame(msgspec.Struct, array_like=True, gc=False):
    """Base of all kinds."""


class Hello(Frame, tag="hello"):
    """Gateway -> runtime, first. ``token`` proves the gateway where the address is TCP."""

    protocol: int = PROTOCOL
    token: str = ""


class Ready(Frame, tag="ready", gc=True):
    """Runtime -> gateway: the model is loaded and warm. ``signature`` is `Signature` as plain values.

    ``framework`` is its name and version, ``python`` the interpreter's; ``sandbox`` is how the
    runtime is shut in, "" where nobody told it.
    """

    pid: int
    signature: dict[str, Any]
    warnings: list[str] = []
    load_ms: float = 0.0
    framework: str = ""
    sandbox: str = ""
    python: str = ""


class Call(Frame, tag="call", gc=True):
    """Gateway -> runtime: predict. The body follows.

    ``id`` is chosen by the gateway, unique on the connection. ``timeout_ms`` is what is
    left until the deadline, 0 for none. ``query`` is the raw query string of the request,
    ``request`` its X-Request-Id, for the log.
    """

    id: int
    media_type: str = ""
    accept: str = ""
    timeout_ms: float = 0.0
    query: str = ""
    style: str = ""
    request: str = ""


class Combine(Call, tag="combine"):
    """Gateway -> runtime: make the answer to a request of what the members of an ensemble answered.

    The body is the request's own, and behind it one ``application/vnd.prism.tensors`` of each member.
    The model is not asked.

    Parameters
    ----------
    combination
        A `prism_core.traffic.combination.Combination` as msgpack; the same bytes for all requests of a
        route.
    members
        Who answered, by places in it, in the order of the body.
    sizes
        How many bytes are the request's, and how many each member's.
    """

    combination: bytes = b""
    members: list[int] = []
    sizes: list[int] = []


class Cancel(Frame, tag="cancel"):
    """Gateway -> runtime: nobody waits for this call any more. Never answered."""

    id: int


class Reply(Frame, tag="reply"):
    """Runtime -> gateway: the answer; its body follows. Times in microseconds."""

    id: int
    media_type: str
    rows: int = 0
    batch_rows: int = 0
    queue_us: int = 0
    compute_us: int = 0


class Error(Frame, tag="error", gc=True):
    """Runtime -> gateway: a call, or with id 0 the load of the model, failed with a `PrismError`."""

    id: int
    code: str
    message: str
    hint: str = ""
    details: dict[str, Any] = {}


class Ping(Frame, tag="ping"):
    """Gateway -> runtime: are you alive? Answered at once with `Stats`, also while the model computes."""

    id: int


class Stats(Frame, tag="stats"):
    """Runtime -> gateway: counters since the start, and what waits now."""

    id: int
    waiting_rows: int = 0
    executions: int = 0
    rows: int = 0
    max_batch_rows: int = 0


class Drain(Frame, tag="drain"):
    """Gateway -> runtime: answer what you have, take nothing new, exit."""


AnyFrame = Hello | Ready | Call | Combine | Cancel | Reply | Error | Ping | Stats | Drain

_encoder = msgspec.msgpack.Encoder()
_decode = msgspec.msgpack.Decoder(AnyFrame).decode


def encode(frame: Frame, body_bytes: int = 0) -> bytes:
    """Return prefix and header; the caller writes the body, if any, right behind them."""
    header = _encoder.encode(frame)
    return PREFIX.pack(len(header), body_bytes) + header


class Receiver:
    """Collects received bytes and yields whole frames.

    A body is a memoryview of an immutable buffer, valid as long as somebody holds it.

    Parameters
    ----------
    max_body_bytes
        A frame with a larger body ends the connection with `WireError`.
    """

    def __init__(self, max_body_bytes: int = MAX_BODY_BYTES) -> None:
        self._parts: list[bytes] = []
        self._held = 0
        self._needed = PREFIX.size
        self._max_body_bytes = max_body_bytes

    def feed(self, data: bytes) -> Iterator[tuple[AnyFrame, memoryview]]:
        """Yield every frame that is complete with ``data``."""
        self._held += len(data)
        if self._held < self._needed:
            # Parts are joined once, when the frame is whole: a large body is not copied per read.
            self._parts.append(data)
            return
        if self._parts:
            self._parts.append(data)
            data = b"".join(self._parts)
            self._parts.clear()
        view = memoryview(data)
        at, end = 0, len(data)
        while True:
            self._needed = PREFIX.size
            if end - at < PREFIX.size:
                break
            header_bytes, body_bytes = PREFIX.unpack_from(data, at)
            if header_bytes > MAX_HEADER_BYTES or body_bytes > self._max_body_bytes:
                raise WireError(f"A frame of {header_bytes} + {body_bytes} bytes is larger than allowed.")
            self._needed = PREFIX.size + header_bytes + body_bytes
            if end - at < self._needed:
                break
            body_at = at + PREFIX.size + header_bytes
            at += self._needed
            yield _header(view[body_at - header_bytes : body_at]), view[body_at:at]
        self._held = end - at
        if self._held:
            self._parts.append(data[at:] if at else data)

    def begun(self, at_least: int) -> tuple[AnyFrame, memoryview, int] | None:
        """Take the frame whose body has begun, if it has ``at_least`` bytes: header, beginning, length.

        The rest of the body is then the caller's to receive.
        """
        if self._needed < at_least or self._held < PREFIX.size:
            return None
        data = b"".join(self._parts)
        header_bytes, body_bytes = PREFIX.unpack_from(data)
        body_at = PREFIX.size + header_bytes
        if body_bytes < at_least or len(data) < body_at:
            self._parts = [data]
            return None
        view = memoryview(data)
        self._parts.clear()
        self._held, self._needed = 0, PREFIX.size
        return _header(view[PREFIX.size : body_at]), view[body_at:], body_bytes


def _header(data: memoryview) -> AnyFrame:
    try:
        frame: AnyFrame = _decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:  # also text that is no UTF-8
        raise WireError(f"A frame's header cannot be read: {error}") from error
    return frame
