"""Outputs as the protocol knows them: a datatype, a shape, and values; shared with gRPC.

Numbers keep their type. Everything else is BYTES: strings as they are, and what is neither, such as the
maps and lists that some models answer, one element each that holds JSON.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from itertools import chain
from types import NoneType
from typing import Any

import msgspec
import numpy as np
import orjson

from prism_core.plugin import NUMPY_TYPES, ModelFailed, NotAcceptable, datatype_of, jsonable
from prism_oip.reading.raw import BYTES, LENGTH

Array = np.ndarray[Any, Any]

_LITTLE = sys.byteorder == "little"
_NUMBERS = {dtype.char for dtype in NUMPY_TYPES.values() if dtype.kind != "O"} | {"l", "L", "q", "Q"}
# By numpy's own number of a type: those that are written as they lie.
_AS_THEY_LIE = {dtype.num: name for name, dtype in NUMPY_TYPES.items() if dtype.kind != "O" and _LITTLE}
_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


class Tensor(msgspec.Struct, frozen=True):  # one an output: a fifth of an attrs class's time
    """An output. ``values`` are flat: numbers, little-endian, or a list of str, bytes and None."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: Array | list[Any]


def tensor_of(name: str, value: Any) -> Tensor:
    """Return an output as a tensor.

    Raises
    ------
    NotAcceptable
        If it holds something that cannot be written as JSON either.
    """
    if isinstance(value, np.ndarray):
        dtype = value.dtype
        if dtype.isnative and value.flags.c_contiguous and (datatype := _AS_THEY_LIE.get(dtype.num)):
            return Tensor(name, datatype, value.shape, value if value.ndim == 1 else value.reshape(-1))
        if dtype.char in _NUMBERS:
            flat = np.ascontiguousarray(value, value.dtype.newbyteorder("<")).reshape(-1)
            return Tensor(name, datatype_of(value.dtype), value.shape, flat)
        if value.dtype.kind == "f":  # a long double
            return tensor_of(name, value.astype(np.float64))
        if value.dtype.kind == "M":
            value = np.datetime_as_string(value)
        return Tensor(name, BYTES, value.shape, _elements(name, value.reshape(-1).tolist()))
    if isinstance(value, Mapping):
        value = [value]
    return Tensor(name, BYTES, (len(value),), _elements(name, list(value)))


def _elements(name: str, values: list[Any]) -> list[Any]:
    # By types, of which there are few: numpy's own strings are strings, too.
    if all(issubclass(kind, str | bytes | NoneType) for kind in set(map(type, values))):
        return values
    try:
        return [orjson.dumps(one, default=jsonable, option=_OPTIONS).decode() for one in values]
    except TypeError as error:
        raise NotAcceptable(
            f"The output {name!r} cannot be written: {error}.", hint="Ask for others."
        ) from None


def raw_of(tensor: Tensor) -> memoryview:
    """Return the bytes of a tensor; a missing string is an empty one, for which there is no other sign."""
    if isinstance(tensor.values, np.ndarray):
        return tensor.values.view(np.uint8).data
    return memoryview(b"".join(chain.from_iterable(map(_element, tensor.values))))


def _element(value: str | bytes | None) -> Iterable[bytes]:
    data = value.encode("utf-8", "replace") if isinstance(value, str) else value or b""
    return LENGTH.pack(len(data)), data


def json_of(tensor: Tensor) -> bytes:
    """Return the values of a tensor as a list in JSON; NaN and infinities become null."""
    try:
        return orjson.dumps(tensor.values, default=jsonable, option=orjson.OPT_SERIALIZE_NUMPY)
    except TypeError as error:
        raise ModelFailed(
            f"The output {tensor.name!r} cannot be written as JSON: {error}.",
            hint='Ask for it raw, {"binary_data": true}.',
        ) from None


def is_hidden(tensor: Tensor) -> bool:
    """Whether JSON has null for a number of the tensor."""
    values = tensor.values
    return isinstance(values, np.ndarray) and values.dtype.kind == "f" and not np.isfinite(values).all()
