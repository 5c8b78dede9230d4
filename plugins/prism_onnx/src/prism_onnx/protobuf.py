"""Walk a serialised protobuf message without its schema's library.

Only what is asked for is read: long fields are stepped over, so a model of gigabytes is
walked through a memory map in microseconds. Every position is checked against the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


class MalformedProtobuf(ValueError):
    """The bytes are not a protobuf message."""


class Readable(Protocol):
    """What can be walked: bytes, or a memory map."""

    def __getitem__(self, index: int, /) -> int:
        """Return one byte."""

    def __len__(self) -> int:
        """Return how many there are."""


class Field(NamedTuple):
    """One field: a varint has a ``value``, all others lie at ``start:stop``."""

    number: int
    wire: int
    value: int
    start: int
    stop: int


def fields(data: Readable, start: int, stop: int) -> Iterator[Field]:
    """Yield the fields of the message at ``start:stop``, in their order.

    Raises
    ------
    MalformedProtobuf
        At the first byte that cannot be part of a message.
    """
    while start < stop:
        key, start = _varint(data, start, stop)
        number, wire = key >> 3, key & 7
        value, end = 0, start
        if wire == VARINT:
            value, end = _varint(data, start, stop)
        elif wire == BYTES:
            length, start = _varint(data, start, stop)
            end = start + length
        elif wire in (FIXED32, FIXED64):
            end = start + (4 if wire == FIXED32 else 8)
        else:
            raise MalformedProtobuf(f"wire type {wire}")
        if not number or end > stop:
            raise MalformedProtobuf(f"field {number} ends at byte {end} of {stop}")
        yield Field(number, wire, value, start, end)
        start = end


def varints(data: Readable, start: int, stop: int) -> Iterator[int]:
    """Yield the whole numbers of a packed field."""
    while start < stop:
        value, start = _varint(data, start, stop)
        yield value


def _varint(data: Readable, at: int, stop: int) -> tuple[int, int]:
    value = shift = 0
    while at < stop and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise MalformedProtobuf(f"no whole number at byte {at}")
