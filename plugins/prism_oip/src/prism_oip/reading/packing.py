"""Bodies that came packed: unpacked a part at a time, and never to more than the server takes."""

from __future__ import annotations

import zlib
from collections.abc import Generator

from prism_core.plugin import LARGE_BYTES, Limits, MalformedBody, Request, TakesLong
from prism_oip.media import ENCODINGS

# What is unpacked from is handed over in parts: what zlib has not taken yet of one, it copies.
PART_BYTES = 64 * 1024
# What comes out in a step, before it is asked whether that is too much; half a millisecond.
STEP_BYTES = 256 * 1024

_GZIP, _ZLIB, _BARE = zlib.MAX_WBITS | 16, zlib.MAX_WBITS, -zlib.MAX_WBITS


def unpack(body: memoryview, packing: str, request: Request) -> memoryview:
    """Return the body that is packed in ``body``.

    Raises
    ------
    MalformedBody, PayloadTooLarge
        As `unpacking` does.
    TakesLong
        If it is waited for, and large.
    """
    unpacked = bytearray()
    for _ in unpacking(body, packing, request.limits, unpacked):
        if request.waited_for and len(unpacked) >= LARGE_BYTES:
            raise TakesLong
    return memoryview(unpacked)


def unpacking(
    body: memoryview, packing: str, limits: Limits, unpacked: bytearray
) -> Generator[None, None, None]:
    """Add what is packed in ``body`` to ``unpacked``, in steps.

    Both ways are told from each other by their first bytes, and "deflate" comes with zlib's frame, as it
    should, or without, as some send it.

    Raises
    ------
    MalformedBody
        If it is not packed so, or cut short, or something stands behind it.
    PayloadTooLarge
        If more comes out than the server takes.
    """
    if packing not in ENCODINGS:
        raise MalformedBody(f"A body packed as {packing[:20]!r} cannot be unpacked.")
    unpacker = zlib.decompressobj(_window(bytes(body[:2])))
    at = 0
    try:
        while at < len(body) and not unpacker.eof:
            rest: bytes | memoryview = body[at : at + PART_BYTES]
            at += PART_BYTES
            full = True  # then more may come out, even where nothing is left of what goes in
            while (rest or full) and not unpacker.eof:
                some = unpacker.decompress(rest, STEP_BYTES)
                unpacked += some
                limits.check_body(len(body), len(unpacked))
                rest, full = unpacker.unconsumed_tail, len(some) == STEP_BYTES
                yield
    except zlib.error as error:
        raise MalformedBody(f"The body is said to be packed as {packing}, and is not: {error}.") from None
    if not unpacker.eof:
        raise MalformedBody(f"The body, packed as {packing}, is cut short.")
    if at < len(body) or unpacker.unused_data:
        raise MalformedBody(f"Something stands behind the end of the body, which is packed as {packing}.")


def _window(first: bytes) -> int:
    """Return what zlib calls the way of packing of a body that begins with two bytes."""
    if first == b"\x1f\x8b":
        return _GZIP
    framed = len(first) == 2 and first[0] & 0x0F == 8 and int.from_bytes(first, "big") % 31 == 0
    return _ZLIB if framed else _BARE
