"""Write protobuf's wire format, also as nobody should: what the library would refuse to write. No I/O."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

Field = tuple[int, Any]
VARINT, FIXED64, BYTES, OPEN, CLOSE, FIXED32 = range(6)


def varint(value: int, *, least: int = 1) -> bytes:
    """Return a number, negative ones as protobuf has them, in ``least`` bytes or more."""
    value &= 2**64 - 1
    found = bytearray()
    while value > 0x7F or len(found) + 1 < least:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(found) + bytes([value])


def tag(number: int, kind: int) -> bytes:
    """Return a field's tag."""
    return varint(number << 3 | kind)


def sized(number: int, content: bytes, length: int | None = None) -> bytes:
    """Return a field of bytes; its length may lie."""
    return tag(number, BYTES) + varint(len(content) if length is None else length) + content


def message(fields: Sequence[Field]) -> bytes:
    """Return a message: an int is a varint, a float a double, all else has a length."""
    return b"".join(_field(number, value) for number, value in fields)


def _field(number: int, value: Any) -> bytes:
    if isinstance(value, int):
        return tag(number, VARINT) + varint(value)
    if isinstance(value, float):
        return tag(number, FIXED64) + struct.pack("<d", value)
    if isinstance(value, str):
        value = value.encode(errors="surrogatepass")
    return sized(number, value if isinstance(value, bytes) else message(value))


def packed(values: Sequence[int]) -> bytes:
    """Return numbers as one field has them."""
    return b"".join(map(varint, values))


def spans(data: bytes) -> list[tuple[int, int, int, int]]:
    """Return number, wire type, start and end of each field of a right message, tags with them."""
    found, at = [], 0
    while at < len(data):
        start = at
        key, at = _read(data, at)
        if key & 7 == BYTES:
            length, at = _read(data, at)
            at += length
        elif key & 7 == VARINT:
            _, at = _read(data, at)
        else:
            at += {FIXED64: 8, FIXED32: 4}[key & 7]
        found.append((key >> 3, key & 7, start, at))
    return found


def _read(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
