"""A ``ModelInferResponse`` of the Open Inference Protocol over gRPC, read without protobuf.

A message is fields: a tag, which is a number and how it is written, and what follows. Numbers that have
seven bits a byte, the lowest first, are varints. Outputs hold their values, or the raw tensors behind all
outputs do, in the same order.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from prism_core.traffic.comparing.columns import Columns, Unreadable, rows_of
from prism_core.traffic.comparing.tensors import rows

MEDIA_TYPE = "application/vnd.prism.oip.grpc"
VARINT, FIXED64, SIZED, FIXED32 = 0, 1, 2, 5
# Fields of a response, of an output of it, and of the values of one.
OUTPUT, RAW = 5, 6
NAME, DATATYPE, SHAPE, CONTENTS = 1, 2, 3, 5
BOOLS, FLOATS, DOUBLES, TEXTS = 1, 6, 7, 8
_FIXED = {FIXED64: 8, FIXED32: 4}


def read(body: memoryview, most_values: int) -> Columns:
    """Return the outputs in a body; of raw tensors at most so many values of each.

    Raises
    ------
    Unreadable
        If it is none.
    """
    try:
        found = list(_fields(body))
        outputs = [dict(_fields(content)) for number, content in found if number == OUTPUT]
        raw = [content for number, content in found if number == RAW]
        return dict(_column(output, raw[at : at + 1], most_values) for at, output in enumerate(outputs))
    except (IndexError, KeyError, TypeError, ValueError, struct.error) as error:
        raise Unreadable(f"it is no answer of gRPC: {error}") from None


def _column(output: dict[int, Any], raw: list[memoryview], most: int) -> tuple[str, list[Any]]:
    name, datatype = (str(output[field], "utf-8", "replace") for field in (NAME, DATATYPE))
    shape = [_signed(size) for size in _varints(output.get(SHAPE, b""))]
    if raw:
        return name, rows(raw[0], datatype, shape, most)
    return name, rows_of(_contents(output.get(CONTENTS, memoryview(b""))), shape)


def _contents(body: memoryview) -> list[Any]:
    values: list[Any] = []
    for number, content in _fields(body):
        if number == TEXTS:
            values.append(str(content, "utf-8", "replace"))
        elif number in (FLOATS, DOUBLES):
            kind, size = ("f", 4) if number == FLOATS else ("d", 8)
            values += struct.unpack(f"<{len(content) // size}{kind}", content)
        else:
            numbers = _varints(content)
            values += map(bool, numbers) if number == BOOLS else map(_signed, numbers)
    return values


def _fields(body: memoryview) -> Iterator[tuple[int, Any]]:
    """Yield number and content of each field; of a number that is no list, its own bytes."""
    at = 0
    while at < len(body):
        tag, at = _varint(body, at)
        kind = tag & 7
        if kind == SIZED:
            size, at = _varint(body, at)
        elif kind == VARINT:
            size = _varint(body, at)[1] - at
        else:
            size = _FIXED[kind]
        if at + size > len(body):
            raise ValueError("it is cut short")
        yield tag >> 3, body[at : at + size]
        at += size


def _varints(body: memoryview | bytes) -> list[int]:
    found, at = [], 0
    while at < len(body):
        value, at = _varint(body, at)
        found.append(value)
    return found


def _varint(body: memoryview | bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = body[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
        shift += 7


def _signed(value: int) -> int:
    """Return a number that may be negative: as 64 bits, whatever its type."""
    return value - (1 << 64) if value >> 63 else value
