"""Bodies that came packed: unpacked a part at a time, and never to more than the server takes."""

from __future__ import annotations

import zlib

from prism_core.plugin import LARGE_BYTES, MalformedBody, Request, TakesLong
from prism_oip.media import ENCODINGS

# What is unpacked from is handed over in parts: what zlib has not taken yet of one, it copies.
PART_BYTES = 64 * 1024
# What comes out before it is asked whether that is too much.
STEP_BYTES = 256 * 1024

_GZIP, _ZLIB, _BARE = zlib.MAX_WBITS | 16, zlib.MAX_WBITS, -zlib.MAX_WBITS


def unpack(body: memoryview, packing: str, request: Request) -> memoryview:
    """Return the body that is packed in ``body``.

    Both ways are told from each other by their first bytes, and "deflate" comes with zlib's frame, as it
    should, or without, as some send it.

    Raises
    ------
    MalformedBody
        If it is not packed so, or cut short, or something stands behind it.
    PayloadTooLarge
        If more comes out than the server takes.
    TakesLong
        If it is waited for, and large.
    """
    if packing not in ENCODINGS:
        raise MalformedBody(f"A body packed as {packing[:20]!r} cannot be unpacked.")
    unpacked = bytearray()
    unpacker = zlib.decompressobj(_window(bytes(body[:2])))
    try:
        at = 0
        while at < len(body) and not unpacker.eof:
            _add(unpacked, unpacker, body[at : at + PART_BYTES], len(body), request)
            at += PART_BYTES
    except zlib.error as error:
        raise MalformedBody(f"The body is said to be packed as {packing}, and is not: {error}.") from None
    if not unpacker.eof:
        raise MalformedBody(f"The body, packed as {packing}, is cut short.")
    if at < len(body) or unpacker.unused_data:
        raise MalformedBody(f"Something stands behind the end of the body, which is packed as {packing}.")
    return memoryview(unpacked)


def _add(
    unpacked: bytearray, unpacker: zlib._Decompress, part: memoryview, packed: int, request: Request
) -> None:
    rest: bytes | memoryview = part
    while rest and not unpacker.eof:
        unpacked += unpacker.decompress(rest, STEP_BYTES)
        request.limits.check_body(packed, len(unpacked))
        if request.waited_for and len(unpacked) >= LARGE_BYTES:
            raise TakesLong
        rest = unpacker.unconsumed_tail


def _window(first: bytes) -> int:
    """Return what zlib calls the way of packing of a body that begins with two bytes."""
    if first == b"\x1f\x8b":
        return _GZIP
    framed = len(first) == 2 and first[0] & 0x0F == 8 and int.from_bytes(first, "big") % 31 == 0
    return _ZLIB if framed else _BARE
