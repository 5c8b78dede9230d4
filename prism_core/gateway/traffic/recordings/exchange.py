"""One request as it is kept, and how several become bytes.

A file is ``PRISMREC``, the version of the format, and frames: ``<bytes of the head: u32> <bytes of the data:
u32> <CRC-32 of these and of the head: u32> <CRC-32 of the data: u32> <head: msgpack> <data>``. The first head
is a `SegmentHead`, without data; all others are `BlockHead`, whose data are the exchanges in msgpack, perhaps
compressed. Whatever is cut off or damaged ends what can be read; what was before it is good.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

MAGIC = b"PRISMREC\x01"
FRAME = struct.Struct("<IIII")
# A frame is looked at with so many bytes in one go; a longer head, of a recording that leaves a lot out, is
# read again, and one that is even longer is none.
AHEAD, MOST_HEAD = 4096, 16 * 1024 * 1024
# Level 6 takes five times as long for a fifth less (`python -m bench.recording`).
LEVEL = 1


class Exchange(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One request, and what became of it. Nothing of whoever sent it, and nothing of the answer.

    Parameters
    ----------
    at
        When it came, in Unix seconds.
    media_type, accept, query, style
        As in `prism_core.gateway.prediction.Head`: how the body is read, and the answer written.
    request, arm, answered, status, code, total_s, failure
        As in `prism_core.gateway.traffic.kinds.RoutedCall`.
    """

    at: float
    body: bytes
    media_type: str = ""
    accept: str = ""
    query: str = ""
    style: str = ""
    request: str = ""
    arm: str = ""
    answered: str = ""
    status: int = 200
    code: str = "ok"
    total_s: float = 0.0
    failure: str = ""


class SegmentHead(msgspec.Struct, array_like=True, frozen=True):
    """How a file was written: for whom, since when, what is not in it, and how long it may be kept."""

    model: str
    made: float
    percent: float
    max_age_s: float
    redact: tuple[str, ...] = ()


class BlockHead(msgspec.Struct, array_like=True, frozen=True):
    """What a block holds.

    ``first`` and ``last`` are when its first and its last request came; ``plain`` is how many bytes it has
    unpacked, 0: it is not packed. ``lost`` are requests that were not kept, by the reason.
    """

    count: int
    first: float
    last: float
    plain: int = 0
    lost: dict[str, int] = {}


class Frame(msgspec.Struct, frozen=True, gc=False):
    """A frame of a file: its head, and where its data lie."""

    head: bytes
    start: int
    end: int
    checksum: int


# Returns so many bytes from a place on, fewer where the file ends.
Read = Callable[[int, int], bytes]

Head = TypeVar("Head", SegmentHead, BlockHead)

_encode = msgspec.msgpack.Encoder().encode
_exchanges = msgspec.msgpack.Decoder(list[Exchange])
_heads: Mapping[type, msgspec.msgpack.Decoder[Any]] = {
    kind: msgspec.msgpack.Decoder(kind) for kind in (SegmentHead, BlockHead)
}


def encode_head(head: SegmentHead) -> bytes:
    """Return the beginning of a file."""
    return MAGIC + _framed(_encode(head), b"")


def encode_block(exchanges: Sequence[Exchange], lost: Mapping[str, int], now: float) -> bytes:
    """Return a block; ``now`` is its time where it holds nothing but what was lost."""
    ordered = sorted(exchanges, key=lambda one: one.at)
    data = _encode(ordered)
    packed = zlib.compress(data, LEVEL)
    pays = len(packed) < len(data)
    times = (ordered[0].at, ordered[-1].at) if ordered else (now, now)
    head = BlockHead(len(ordered), *times, len(data) if pays else 0, dict(lost))
    return _framed(_encode(head), packed if pays else data)


def decode_block(head: BlockHead, data: bytes) -> list[Exchange]:
    """Return the exchanges of a block whose checksum was right.

    Raises
    ------
    ValueError
        If it is none all the same.
    """
    try:
        return _exchanges.decode(_unpacked(data, head.plain) if head.plain else data)
    except (msgspec.MsgspecError, zlib.error) as error:
        raise ValueError("no block") from error


def decode_head(head: bytes, kind: type[Head]) -> Head:
    """Return the head of a frame.

    Raises
    ------
    ValueError
        If it is none.
    """
    try:
        found: Head = _heads[kind].decode(head)
        return found
    except msgspec.MsgspecError as error:
        raise ValueError("no head") from error


def frames(read: Read, size: int) -> Iterator[Frame]:
    """Yield the frames of a file of ``size`` bytes, up to what is cut off or has a damaged head."""
    at = len(MAGIC) if read(len(MAGIC), 0) == MAGIC else size
    while begun := read(AHEAD, at):
        frame = _frame(_with_head(begun, read, at), at, size)
        if frame is None:
            return
        yield frame
        at = frame.end


def data_of(read: Read, frame: Frame) -> bytes:
    """Return the data of a frame.

    Raises
    ------
    ValueError
        If they are damaged.
    """
    data = read(frame.end - frame.start, frame.start)
    if len(data) != frame.end - frame.start or zlib.crc32(data) != frame.checksum:
        raise ValueError("damaged")
    return data


def _with_head(begun: bytes, read: Read, at: int) -> bytes:
    """Return the beginning of a frame with all of its head."""
    needed = FRAME.size + (FRAME.unpack_from(begun)[0] if len(begun) >= FRAME.size else 0)
    return read(needed, at) if len(begun) < needed <= MOST_HEAD else begun


def _frame(begun: bytes, at: int, size: int) -> Frame | None:
    if len(begun) < FRAME.size:
        return None
    head_bytes, data_bytes, check, checksum = FRAME.unpack_from(begun)
    start = at + FRAME.size + head_bytes
    head = begun[FRAME.size : FRAME.size + head_bytes]
    whole = len(head) == head_bytes and start + data_bytes <= size
    if not whole or zlib.crc32(head, zlib.crc32(begun[:8])) != check:
        return None
    return Frame(head, start, start + data_bytes, checksum)


def _framed(head: bytes, data: bytes) -> bytes:
    lengths = struct.pack("<II", len(head), len(data))
    checks = struct.pack("<II", zlib.crc32(head, zlib.crc32(lengths)), zlib.crc32(data))
    return b"".join((lengths, checks, head, data))


def _unpacked(data: bytes, plain: int) -> bytes:
    unpacking = zlib.decompressobj()
    found = unpacking.decompress(data, plain)
    if len(found) != plain or unpacking.unconsumed_tail:
        raise ValueError("another length")
    return found
