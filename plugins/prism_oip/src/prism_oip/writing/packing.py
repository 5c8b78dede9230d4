"""Answers that are packed, where a client asks for it and it is worth it."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from prism_core.plugin import TakesLong

# A smaller answer goes in one segment anyway: there is nothing to win.
MIN_BYTES = 1024
# Packed in about half a millisecond.
MAX_BYTES = 64 * 1024
# At 130-180 MB/s numbers in JSON become half as long. Level 6 saves another twentieth for ten times the time.
LEVEL = 1

_WINDOWS = {"gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}


def pack(parts: Sequence[bytes | memoryview], packing: str, *, waited_for: bool) -> bytes | None:
    """Return ``parts``, joined and packed; None where that is not asked for, or not worth it.

    Raises
    ------
    TakesLong
        If it is waited for, and they are large.
    """
    size = sum(map(len, parts))
    if packing not in _WINDOWS or size < MIN_BYTES:
        return None
    if waited_for and size > MAX_BYTES:
        raise TakesLong
    packer = zlib.compressobj(LEVEL, wbits=_WINDOWS[packing])
    packed = b"".join((*map(packer.compress, parts), packer.flush()))
    return packed if len(packed) < size else None
