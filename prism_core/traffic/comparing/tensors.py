"""``application/vnd.prism.tensors``, the first rows of each tensor, as plain values.

`prism_core.fitting.tensors` writes them and tells the format. The same values stand behind an answer of
the Open Inference Protocol, one output behind the other.
"""

from __future__ import annotations

import math
import struct
from typing import Any

import msgspec

from prism_core.fitting.tensors import ALIGNMENT, LENGTH, MAGIC, NO_STRING, PREFIX, Header
from prism_core.traffic.comparing.columns import Columns, Unreadable, rows_of

# As `struct` has them.
FORMATS = {
    "BOOL": "?",
    "UINT8": "B",
    "UINT16": "H",
    "UINT32": "I",
    "UINT64": "Q",
    "INT8": "b",
    "INT16": "h",
    "INT32": "i",
    "INT64": "q",
    "FP16": "e",
    "FP32": "f",
    "FP64": "d",
}


_decode = msgspec.msgpack.Decoder(Header).decode


def read(body: memoryview, most_values: int) -> Columns:
    """Return the outputs in a body, at most so many values of each.

    Raises
    ------
    Unreadable
        If it is none.
    """
    if len(body) < PREFIX.size or bytes(body[:4]) != MAGIC:
        raise Unreadable("it does not begin as tensors do")
    at = PREFIX.size + PREFIX.unpack_from(body)[1]
    try:
        header = _decode(body[PREFIX.size : at])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise Unreadable(str(error)) from None
    columns: Columns = {}
    for tensor in header.tensors:
        at += -at % ALIGNMENT
        data = body[at : at + tensor.bytes]
        columns[tensor.name] = rows(data, tensor.datatype, tensor.shape, most_values)
        at += tensor.bytes
    return columns


def rows(data: memoryview, datatype: str, shape: list[int], most: int) -> list[Any]:
    """Return the first rows of a tensor, those that hold at most so many values."""
    if datatype == "JSON":
        return _from_json(data)
    count = _count(shape, most)
    if datatype == "BYTES":
        return rows_of(_texts(data, count), shape)
    kind = FORMATS.get(datatype)
    if kind is None:
        raise Unreadable(f"its datatype {datatype[:20]} is unknown")
    try:
        return rows_of(list(struct.unpack_from(f"<{count}{kind}", data)), shape)
    except struct.error:
        raise Unreadable("it is cut short") from None


def _count(shape: list[int], most: int) -> int:
    """Return how many values the rows have that hold at most so many, one row at least."""
    if any(size < 0 for size in shape):
        raise Unreadable("its shape is impossible")
    length, width = (shape[0], math.prod(shape[1:])) if shape else (1, 1)
    if width > most:
        raise Unreadable("a row is too wide")
    return width * min(length, most // width) if width else 0


def _from_json(data: memoryview) -> list[Any]:
    try:
        value = msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise Unreadable(str(error)) from None
    return value if isinstance(value, list) else [value]


def _texts(data: memoryview, count: int) -> list[Any]:
    found: list[Any] = []
    at = 0
    for _ in range(count):
        if at + LENGTH.size > len(data):
            raise Unreadable("it is cut short")
        (size,) = LENGTH.unpack_from(data, at)
        at += LENGTH.size
        if size == NO_STRING:
            found.append(None)
            continue
        found.append(str(data[at : at + size], "utf-8", "replace"))
        at += size
    return found
