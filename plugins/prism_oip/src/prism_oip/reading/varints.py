"""Packed varints as arrays, a part at a time: numpy's loops instead of Python's.

A number has seven bits in each byte, the lowest first; a set top bit means that another byte follows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from prism_oip.wire import MAX_NUMBER_BYTES, malformed

Array = np.ndarray[Any, Any]

# What stays in a core's cache, with the eight times as much that numbers of one byte need on their way.
PART_BYTES = 32 * 1024


def count(data: Array) -> int:
    """Return how many numbers the bytes hold."""
    return int(np.count_nonzero(data < 0x80))


def unpack(data: Array, dtype: np.dtype[Any]) -> Array:
    """Return the numbers in bytes that end with a number's end.

    What a number has beyond ``dtype`` is cut off, as protobuf does; a bool is whether it is not 0.

    Raises
    ------
    MalformedBody
        If a number has too many bytes.
    """
    found: Array = np.empty(count(data), dtype)
    at = filled = 0
    while at < len(data):
        part = data[at : at + PART_BYTES]
        ends = np.flatnonzero(part < 0x80)
        if not len(ends):
            raise malformed("a number of too many bytes")
        size = int(ends[-1]) + 1
        values = part if len(ends) == len(part) else _values(part[:size], ends)
        into = found[filled : filled + len(ends)]
        np.not_equal(values, 0, out=into) if dtype.kind == "b" else np.copyto(into, values, casting="unsafe")
        at, filled = at + size, filled + len(ends)
    return found


def _values(part: Array, ends: Array) -> Array:
    """Return numbers, some of which have more than a byte, in 64 bits."""
    starts = np.empty_like(ends)
    starts[0], starts[1:] = 0, ends[:-1] + 1
    sizes = ends - starts
    longest = int(sizes.max())
    if longest >= MAX_NUMBER_BYTES:
        raise malformed("a number of too many bytes")
    values = (part[starts] & 0x7F).astype(np.uint64)
    shortest = int(sizes.min())
    for place in range(1, longest + 1):
        if place <= shortest:  # all of them have it
            values |= (part[starts + place] & 0x7F).astype(np.uint64) << np.uint64(7 * place)
            continue
        longer = np.flatnonzero(sizes >= place)
        bits = (part[starts[longer] + place] & 0x7F).astype(np.uint64)
        values[longer] |= bits << np.uint64(7 * place)
    return values
