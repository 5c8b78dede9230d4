"""Raw tensors: bytes in the size of their datatype, little-endian, row-major; shared with gRPC.

Numbers become views of the body. An element of BYTES is its length as u32 and its bytes, which have to
be UTF-8 for a model that takes text. BF16, which numpy does not have, becomes the FP32 of equal value.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from prism_core.plugin import (
    NUMPY_TYPES,
    Faults,
    InvalidInput,
    Limits,
    MalformedBody,
    listed,
    quote,
    quote_shape,
)
from prism_oip.reading.shapes import count_of

Array = np.ndarray[Any, Any]

BF16 = "BF16"
BYTES = "BYTES"
# As they lie in a body.
NUMBERS = {name: dtype.newbyteorder("<") for name, dtype in NUMPY_TYPES.items() if dtype.kind != "O"}
NUMBERS[BF16] = np.dtype("<u2")
LENGTH = struct.Struct("<I")


def read(
    name: str, datatype: str, shape: Sequence[int], data: memoryview, faults: Faults, limits: Limits
) -> Array:
    """Return the tensor in ``data``; text that is none is noted in ``faults``.

    Raises
    ------
    MalformedBody
        If datatype, shape and bytes do not belong together.
    PayloadTooLarge
        If it holds more texts than the server takes values.
    """
    count = count_of(name, shape)
    if datatype == BYTES:
        limits.check_values(count)
        return _texts(name, shape, count, data, faults)
    dtype = NUMBERS.get(datatype)
    if dtype is None:
        raise unknown(name, datatype)
    if count * dtype.itemsize != len(data):
        raise MalformedBody(
            f"Input {quote(name)}, {datatype} of the shape {quote_shape(shape)}, takes "
            f"{quote(count * dtype.itemsize)} bytes, not {len(data)}."
        )
    flat: Array = np.frombuffer(data, dtype)
    if dtype.kind == "b" and count and flat.view(np.uint8).max() > 1:
        raise MalformedBody(f"Input {quote(name)} holds a bool that is neither 0 nor 1.")
    return (_widened(flat) if datatype == BF16 else flat).reshape(tuple(shape))


def one_text(name: str, shape: tuple[int, ...], data: memoryview, faults: Faults) -> Array:
    """Return all of ``data`` as the one element of a tensor.

    Raises
    ------
    InvalidInput
        If the tensor has more.
    """
    if count_of(name, shape) != 1:
        raise InvalidInput(f"A raw body is one element of BYTES, the input {quote(name)} takes {shape}.")
    found = np.empty(1, dtype=object)
    found[0] = text(name, 0, data, faults)
    return found.reshape(shape)


def unknown(name: str, datatype: str) -> MalformedBody:
    """Return the error of a datatype that the protocol does not have."""
    return MalformedBody(
        f"Input {quote(name)} has the unknown datatype {quote(datatype)}.",
        hint=f"Known: {listed([*NUMPY_TYPES, BF16])}.",
    )


def _widened(halves: Array) -> Array:
    """Return BF16, the upper half of FP32, as that."""
    wide = halves.astype("<u4")
    wide <<= 16
    return wide.view("<f4")


def _texts(name: str, shape: Sequence[int], count: int, data: memoryview, faults: Faults) -> Array:
    # Each takes at least its length: a hostile shape is refused before anything is allocated.
    if count * LENGTH.size > len(data):
        raise MalformedBody(f"Input {quote(name)} has fewer than {quote(count)} elements.")
    found = np.empty(count, dtype=object)
    at = 0
    for index in range(count):
        start = at + LENGTH.size
        at = start + LENGTH.unpack_from(data, at)[0] if start <= len(data) else start
        if at > len(data):
            raise MalformedBody(f"Input {quote(name)} ends in the middle of element {index}.")
        found[index] = text(name, index, data[start:at], faults)
    if at != len(data):
        raise MalformedBody(f"Input {quote(name)} has bytes behind its last element.")
    return found.reshape(tuple(shape))


def text(name: str, index: int, data: bytes | memoryview, faults: Faults) -> str:
    """Return the element ``index`` of an input; one that is no text is noted in ``faults``."""
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError:
        faults.add(index, name, "text in UTF-8", f"{len(data)} bytes that are none")
        return ""
