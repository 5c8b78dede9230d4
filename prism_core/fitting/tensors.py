"""Named arrays as bytes: ``application/vnd.prism.tensors``.

::

    "PRT1" | header bytes: u32 LE | header: msgpack | zeros | tensor | zeros | tensor ...

The header is a map ``{"tensors": [[name, datatype, shape, bytes], ...], "outputs": [...],
"parameters": {...}}``; unknown keys are ignored. Each tensor begins at the next multiple of
64 bytes from the start of the body. Numbers lie in C order, little-endian, and are read as
views of the body. A ``BYTES`` tensor holds for each string its length as u32 LE and its
UTF-8; the length 2**32 - 1 is a missing one. A ``JSON`` tensor is JSON: a sequence or map
output.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import msgspec
import numpy as np
import orjson

from prism_core.errors import MalformedBody, NotAcceptable
from prism_core.fitting.faults import quote, quote_shape
from prism_core.fitting.jsonable import jsonable
from prism_core.types import NUMPY_TYPES, Batch, datatype_of

# What it is called in Content-Type and Accept.
MEDIA_TYPE = "application/vnd.prism.tensors"
MAGIC = b"PRT1"
PREFIX = struct.Struct("<4sI")
ALIGNMENT = 64
NO_STRING = 2**32 - 1
# Names and shapes of thousands of tensors; what is decoded of more takes twenty times its bytes.
MAX_HEADER_BYTES = 1 << 20
LENGTH = struct.Struct("<I")
_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS

Size = Annotated[int, msgspec.Meta(ge=0)]


class Tensor(msgspec.Struct, array_like=True, frozen=True):
    """One tensor of the header."""

    name: str
    datatype: str
    shape: list[Size]
    bytes: Size


class Header(msgspec.Struct, frozen=True):
    """What the body holds."""

    tensors: list[Tensor]
    outputs: list[str] = []
    parameters: dict[str, Any] = {}


_encode_header = msgspec.msgpack.Encoder().encode
_decode_header = msgspec.msgpack.Decoder(Header).decode


def pack(batch: Batch) -> bytes:
    """Return ``batch`` as bytes."""
    entries, parts = [], []
    for name, tensor in batch.tensors.items():
        datatype, shape, data = _packed(name, tensor)
        entries.append(Tensor(name, datatype, shape, len(data)))
        parts.append(data)
    header = _encode_header(Header(entries, list(batch.outputs), dict(batch.parameters)))
    body = bytearray(PREFIX.pack(MAGIC, len(header)) + header)
    for data in parts:
        body += bytes(-len(body) % ALIGNMENT)
        body += data
    return bytes(body)


def unpack(body: memoryview) -> Batch:
    """Return the batch that `pack` wrote, numbers as read-only views of ``body``."""
    header, at = header_of(body)
    tensors: dict[str, Any] = {}
    for entry in header.tensors:
        at += -at % ALIGNMENT
        if entry.name in tensors:
            raise MalformedBody(f"Tensor {entry.name[:60]!r} occurs twice.")
        if at + entry.bytes > len(body):
            raise MalformedBody(f"Tensor {entry.name[:60]!r} ends behind the end of the body.")
        tensors[entry.name] = _unpacked(entry, body[at : at + entry.bytes])
        at += entry.bytes
    if at != len(body):
        raise MalformedBody(f"The body has {len(body)} bytes, its tensors end at {at}.")
    return Batch(tensors, tuple(header.outputs), header.parameters)


def header_of(body: memoryview) -> tuple[Header, int]:
    """Return what a body holds, and where its header ends."""
    if len(body) < PREFIX.size or bytes(body[:4]) != MAGIC:
        raise MalformedBody("The body does not begin like application/vnd.prism.tensors.")
    _, size = PREFIX.unpack_from(body)
    end = PREFIX.size + size
    if size > MAX_HEADER_BYTES:
        raise MalformedBody(f"The header has {size} bytes; at most {MAX_HEADER_BYTES} are read.")
    if end > len(body):
        raise MalformedBody(f"The header is said to have {size} bytes, the body has {len(body)}.")
    try:
        return _decode_header(body[PREFIX.size : end]), end
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise MalformedBody(f"The header cannot be read: {error}.") from None


# --- one tensor ------------------------------------------------------------------------------


def _packed(name: str, tensor: Any) -> tuple[str, list[int], Any]:
    if not isinstance(tensor, np.ndarray):
        return "JSON", [len(tensor)], _json(name, tensor)
    shape = list(tensor.shape)
    if tensor.dtype.kind in "biuf":
        tensor = np.ascontiguousarray(tensor, dtype=tensor.dtype.newbyteorder("<"))
        return datatype_of(tensor.dtype), shape, tensor.reshape(-1).view(np.uint8).data
    if tensor.dtype.kind in "UO" and all(one is None or isinstance(one, str) for one in tensor.flat):
        return "BYTES", shape, b"".join(_strings(tensor))
    return "JSON", shape, _json(name, tensor.tolist())


def _json(name: str, value: Any) -> bytes:
    try:
        return orjson.dumps(
            value, default=jsonable, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
        )
    except TypeError as error:
        raise NotAcceptable(
            f"The output {name!r} cannot be written: {error}.", hint="Ask for others."
        ) from None


def _strings(tensor: np.ndarray[Any, Any]) -> Iterator[bytes]:
    for one in tensor.flat:
        if one is None:
            yield LENGTH.pack(NO_STRING)
        else:
            data = one.encode("utf-8", "replace")
            yield LENGTH.pack(len(data)) + data


def _unpacked(entry: Tensor, data: memoryview) -> Any:
    if entry.datatype == "JSON":
        return _from_json(entry, data)
    dtype = NUMPY_TYPES.get(entry.datatype)
    if dtype is None:
        raise MalformedBody(f"Tensor {entry.name[:60]!r} has the unknown datatype {entry.datatype[:20]!r}.")
    count = math.prod(entry.shape)
    if dtype.kind == "O":
        return _reshaped(entry, _from_strings(entry, data, count))
    if count * dtype.itemsize != entry.bytes:
        raise MalformedBody(
            f"Tensor {entry.name[:60]!r} of shape {quote_shape(entry.shape)} takes "
            f"{quote(count * dtype.itemsize)} bytes, not {entry.bytes}."
        )
    array = np.frombuffer(data, dtype.newbyteorder("<"))
    if dtype.kind == "b" and (array.view(np.uint8) > 1).any():
        raise MalformedBody(f"Tensor {entry.name[:60]!r} holds a bool that is neither 0 nor 1.")
    return _reshaped(entry, array)


def _reshaped(entry: Tensor, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    try:
        return array.reshape(entry.shape)
    except (ValueError, OverflowError):
        shape = quote_shape(entry.shape)
        raise MalformedBody(f"Tensor {entry.name[:60]!r} cannot have the shape {shape}.") from None


def _from_json(entry: Tensor, data: memoryview) -> Any:
    try:
        value = msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedBody(f"Tensor {entry.name[:60]!r} is not JSON: {error}.") from None
    if not isinstance(value, list | Mapping):
        raise MalformedBody(f"Tensor {entry.name[:60]!r} is neither a list nor an object.")
    return value


def _from_strings(entry: Tensor, data: memoryview, count: int) -> np.ndarray[Any, Any]:
    # Each string takes at least its length: a hostile shape is refused before anything is allocated.
    if count * LENGTH.size > len(data):
        raise MalformedBody(f"Tensor {entry.name[:60]!r} has fewer than {quote(count)} strings.")
    found = np.empty(count, dtype=object)
    at = 0
    for index in range(count):
        if at + LENGTH.size > len(data):
            raise MalformedBody(f"Tensor {entry.name[:60]!r} ends in the middle of a string.")
        (size,) = LENGTH.unpack_from(data, at)
        at += LENGTH.size
        if size == NO_STRING:
            continue
        if at + size > len(data):
            raise MalformedBody(f"Tensor {entry.name[:60]!r} ends in the middle of a string.")
        try:
            found[index] = str(data[at : at + size], "utf-8")
        except UnicodeDecodeError:
            raise MalformedBody(f"Tensor {entry.name[:60]!r} holds a string that is not UTF-8.") from None
        at += size
    if at != len(data):
        raise MalformedBody(f"Tensor {entry.name[:60]!r} has bytes behind its last string.")
    return found
