"""Answers of the Open Inference Protocol: JSON, and perhaps raw tensors behind it.

What a runtime answers has a prefix: the bytes of JSON, 0 where all of it is, and how it is packed. The
protocol's plugin writes it and takes it off before it is sent; `prism_oip.media` tells the same.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from prism_core.traffic.comparing.columns import Columns, Unreadable, rows_of
from prism_core.traffic.comparing.tensors import rows

MEDIA_TYPE = "application/vnd.prism.oip"
PREFIX = struct.Struct("<II")
# Not packed, gzip, zlib; as `zlib` has them.
_WINDOWS = {1: zlib.MAX_WBITS | 16, 2: zlib.MAX_WBITS}


class Output(msgspec.Struct, frozen=True):
    """One output of the JSON."""

    name: str
    shape: list[int]
    datatype: str = ""
    data: list[Any] | None = None
    parameters: dict[str, Any] = {}


def unpacked(body: memoryview, most_bytes: int) -> tuple[memoryview, memoryview]:
    """Return the JSON and the raw tensors of what a runtime answered.

    Raises
    ------
    Unreadable
        If it is none, or holds more than so many bytes.
    """
    if len(body) < PREFIX.size:
        raise Unreadable("it is cut short")
    size, packing = PREFIX.unpack_from(body)
    whole = body[PREFIX.size :]
    if packing:
        whole = _inflated(whole, packing, most_bytes)
    return (whole[:size], whole[size:]) if size else (whole, whole[:0])


def read(outputs: list[Any], raw: memoryview, most_values: int) -> Columns:
    """Return the outputs that the JSON tells, with their values in it or behind it."""
    try:
        told = msgspec.convert(outputs, list[Output])
    except msgspec.ValidationError as error:
        raise Unreadable(str(error)) from None
    return dict(_columns(told, raw, most_values))


def are_outputs(outputs: list[Any]) -> bool:
    """Return whether this is how the protocol tells outputs."""
    return all(isinstance(one, Mapping) and "name" in one and "shape" in one for one in outputs)


def _columns(outputs: list[Output], raw: memoryview, most_values: int) -> Iterator[tuple[str, list[Any]]]:
    at = 0
    for output in outputs:
        size = output.parameters.get("binary_data_size")
        if output.data is not None:
            nested = bool(output.data) and isinstance(output.data[0], list)
            yield output.name, output.data if nested else rows_of(output.data, output.shape)
        elif isinstance(size, int) and size >= 0:
            yield output.name, rows(raw[at : at + size], output.datatype, output.shape, most_values)
            at += size


def _inflated(packed: memoryview, packing: int, most_bytes: int) -> memoryview:
    window = _WINDOWS.get(packing)
    if window is None:
        raise Unreadable("it is packed in an unknown way")
    unpacking = zlib.decompressobj(window)
    try:
        whole = unpacking.decompress(packed, most_bytes)
    except zlib.error as error:
        raise Unreadable(str(error)) from None
    if not unpacking.eof:
        raise Unreadable("it is too large, or cut short")
    return memoryview(whole)
