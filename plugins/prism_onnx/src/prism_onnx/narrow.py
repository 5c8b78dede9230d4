"""Element types that numpy does not have, as bytes in onnxruntime's own memory.

bfloat16 is served as FP32, which holds all of its values; whole numbers of 4 and 2 bits as
INT8 and UINT8; the 8 and 4 bit floats as their bits, in UINT8, since nothing else is exact.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import attrs
import numpy as np

from prism_core.plugin import InvalidInput

Array = np.ndarray[Any, Any]


@attrs.frozen
class Narrow:
    """One such type.

    Parameters
    ----------
    element_type
        Its number in ``TensorProto.DataType``.
    datatype
        The datatype that it is served as.
    pack, unpack
        From an array of that datatype to the tensor's bytes, and from bytes to a flat array.
    """

    element_type: int
    datatype: str
    pack: Callable[[Array], bytes]
    unpack: Callable[[bytes], Array]
    bits: int = 8

    def put(self, array: Array) -> Any:
        """Return the array as an ``OrtValue``."""
        from onnxruntime import OrtValue

        value = OrtValue.ortvalue_from_shape_and_type(list(array.shape), self.element_type)
        content = self.pack(array.reshape(-1))
        ctypes.memmove(value.data_ptr(), content, len(content))
        return value

    def take(self, value: Any) -> Array:
        """Return the array that an ``OrtValue`` holds."""
        shape = value.shape()
        count = int(np.prod(shape, dtype=np.int64))
        content = ctypes.string_at(value.data_ptr(), -(-count * self.bits // 8)) if count else b""
        return self.unpack(content)[:count].reshape(shape)


def _pack_bfloat16(array: Array) -> bytes:
    wide = np.ascontiguousarray(array, np.float32)
    bits = wide.view(np.uint32).astype(np.uint64)
    # To the nearest, ties to even; a NaN must not be rounded up to an infinity.
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return np.where(np.isnan(wide), 0x7FC0, rounded).astype(np.uint16).tobytes()


def _unpack_bfloat16(content: bytes) -> Array:
    return (np.frombuffer(content, np.uint16).astype(np.uint32) << 16).view(np.float32)


def _raw(element_type: int) -> Narrow:
    return Narrow(
        element_type, "UINT8", lambda array: array.tobytes(), lambda content: np.frombuffer(content, np.uint8)
    )


def _whole(element_type: int, bits: int, signed: bool) -> Narrow:
    lowest, highest = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    mask = (1 << bits) - 1
    shifts = np.arange(0, 8, bits, dtype=np.uint8)

    def pack(array: Array) -> bytes:
        if array.size and (array.min() < lowest or array.max() > highest):
            raise InvalidInput(
                f"The model takes whole numbers of {bits} bits, from {lowest} to {highest}; "
                f"the input goes from {array.min()} to {array.max()}."
            )
        padded = np.zeros(-(-array.size // shifts.size) * shifts.size, np.uint8)
        padded[: array.size] = array.astype(np.uint8) & mask
        packed: bytes = np.bitwise_or.reduce(padded.reshape(-1, shifts.size) << shifts, axis=1).tobytes()
        return packed

    def unpack(content: bytes) -> Array:
        values = (np.frombuffer(content, np.uint8)[:, None] >> shifts & mask).reshape(-1)
        return ((values ^ -lowest) - np.uint8(-lowest)).view(np.int8) if signed else values

    return Narrow(element_type, "INT8" if signed else "UINT8", pack, unpack, bits)


NARROW = {
    "bfloat16": Narrow(16, "FP32", _pack_bfloat16, _unpack_bfloat16, 16),
    "float8e4m3fn": _raw(17),
    "float8e4m3fnuz": _raw(18),
    "float8e5m2": _raw(19),
    "float8e5m2fnuz": _raw(20),
    "float8e8m0": _raw(24),
    "uint4": _whole(21, 4, signed=False),
    "int4": _whole(22, 4, signed=True),
    "float4e2m1": _whole(23, 4, signed=False),
    "uint2": _whole(25, 2, signed=False),
    "int2": _whole(26, 2, signed=True),
}
