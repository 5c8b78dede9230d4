"""Integers as packed varints, by numpy's loops instead of Python's."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

# As for reading: what stays in a core's cache.
PART_VALUES = 16 * 1024
# The smallest number that takes a byte more, for each but the first.
_STEPS = [np.uint64(1 << 7 * more) for more in range(1, 10)]


def pack(values: Array) -> bytes:
    """Return integers, or bools, as protobuf packs them; a negative one takes ten bytes."""
    flat = values.reshape(-1)
    if flat.dtype.kind == "b":
        return flat.tobytes()
    return b"".join(_pack(flat[at : at + PART_VALUES]) for at in range(0, len(flat), PART_VALUES))


def _pack(part: Array) -> bytes:
    numbers = part.astype(np.int64).view(np.uint64) if part.dtype.kind == "i" else part.astype(np.uint64)
    largest = numbers.max()
    if largest < 0x80:
        return numbers.astype(np.uint8).tobytes()
    sizes = np.ones(len(numbers), dtype=np.intp)
    for step in _STEPS:
        if step > largest:
            break
        sizes += numbers >= step
    ends = np.cumsum(sizes)
    starts = ends - sizes
    packed = np.empty(int(ends[-1]), dtype=np.uint8)
    for place in range(int(sizes.max())):
        here = np.flatnonzero(sizes > place) if place else slice(None)
        packed[starts[here] + place] = (numbers[here] >> np.uint64(7 * place)).astype(np.uint8) | 0x80
    packed[ends - 1] &= 0x7F
    return packed.tobytes()


def varint(value: int) -> bytes:
    """Return one number that is not negative."""
    if value < 0x80:
        return bytes((value,))
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
