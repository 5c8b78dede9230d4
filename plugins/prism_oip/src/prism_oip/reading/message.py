"""A serialized ``ModelInferRequest``, as far as it says what its tensors are; their values stay bytes.

What a client sends again and again, heads of tensors and parameters, is read once and remembered by its
bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeVar

import msgspec

from prism_oip.reading.asked import Output
from prism_oip.reading.shapes import MAX_AXES
from prism_oip.wire import (
    BYTES,
    FIXED64,
    VARINT,
    Body,
    Budget,
    check_skipped,
    field,
    fields,
    malformed,
    tag_of,
    text,
    varint,
)

# Submessages up to this size are remembered: a tensor's head, with a name as people give them.
SMALL_BYTES = 128
FLOAT64 = struct.Struct("<d")

Part = TypeVar("Part")


class Tensor(msgspec.Struct, frozen=True):
    """An input: its head, and the bytes of its ``contents``, which may come in several pieces."""

    name: str = ""
    datatype: str = ""
    shape: tuple[int, ...] = ()
    parameters: Mapping[str, Any] = {}
    contents: tuple[Body, ...] = ()


class Message(msgspec.Struct):
    """A request. ``raw`` are its raw tensors."""

    id: str = ""
    parameters: dict[str, Any] = {}
    inputs: list[Tensor] = []
    outputs: list[Output] = []
    raw: list[memoryview] = []


REQUEST = frozenset(range(1, 8))
NAME, SECOND, ID, PARAMETER, INPUT, OUTPUT, RAW = (tag_of(number, BYTES) for number in range(1, 8))


def read(body: memoryview, budget: Budget) -> Message:
    """Return what the body says.

    Raises
    ------
    MalformedBody
        If it is no such message.
    """
    message = Message()
    at, end = 0, len(body)
    while at < end:
        budget.take()
        tag, start, at = field(body, at, end)
        if tag == RAW:
            message.raw.append(body[start:at])
        elif tag == INPUT:
            message.inputs.append(_part(_tensor, body, start, at, budget))
        elif tag == OUTPUT:
            message.outputs.append(_part(_output, body, start, at, budget))
        elif tag == PARAMETER:
            key, value = _part(_parameter, body, start, at, budget)
            message.parameters[key] = value
        elif tag == ID:
            message.id = text(body, start, at)
        elif tag in (NAME, SECOND):
            text(body, start, at)  # the gateway has asked whom it is for
        else:
            check_skipped(tag, REQUEST)
    return message


# --- parts of it -----------------------------------------------------------------------------

Read = Callable[[Body, int, int, Budget], Part]


def _part(read: Read[Part], body: Body, start: int, stop: int, budget: Budget) -> Part:
    if stop - start > SMALL_BYTES:
        return read(body, start, stop, budget)
    part, used = _remembered(read, bytes(body[start:stop]))
    budget.take(used)
    return part  # type: ignore[no-any-return]  # what is remembered has no type of its own


@lru_cache(maxsize=512)
def _remembered(read: Read[Any], data: bytes) -> tuple[Any, int]:
    budget = Budget()
    return read(data, 0, len(data), budget), budget.used


TENSOR = frozenset(range(1, 6))
SIZES, SIZE, CONTENTS = tag_of(3, BYTES), tag_of(3, VARINT), tag_of(5, BYTES)


def _tensor(body: Body, start: int, stop: int, budget: Budget) -> Tensor:
    name = datatype = ""
    shape: list[int] = []
    parameters: dict[str, Any] = {}
    contents: list[Body] = []
    for tag, at, end in fields(body, start, stop):
        budget.take()
        if tag == NAME:
            name = text(body, at, end)
        elif tag == SECOND:
            datatype = text(body, at, end)
        elif tag in (SIZES, SIZE):
            _sizes(body, at, end, shape)
        elif tag == PARAMETER:
            key, value = _part(_parameter, body, at, end, budget)
            parameters[key] = value
        elif tag == CONTENTS:
            contents.append(body[at:end])
        else:
            check_skipped(tag, TENSOR)
    return Tensor(name, datatype, tuple(shape), parameters, tuple(contents))


def _sizes(body: Body, at: int, stop: int, shape: list[int]) -> None:
    """Add the sizes in ``body`` to a shape, one or packed ones."""
    while at < stop:
        size, at = varint(body, at)
        shape.append(_signed(size))
        if at > stop or len(shape) > MAX_AXES:
            raise malformed("a shape of too many axes" if at <= stop else "a number that is cut")


def _output(body: Body, start: int, stop: int, budget: Budget) -> Output:
    name, parameters = "", {}
    for tag, at, end in fields(body, start, stop):
        budget.take()
        if tag == NAME:
            name = text(body, at, end)
        elif tag == SECOND:
            key, value = _part(_parameter, body, at, end, budget)
            parameters[key] = value
        else:
            check_skipped(tag, frozenset((1, 2)))
    return Output(name, parameters)


# --- parameters ------------------------------------------------------------------------------


def _parameter(body: Body, start: int, stop: int, budget: Budget) -> tuple[str, Any]:
    """Return an entry of a map of parameters; a value of no kind is None, as null is in JSON."""
    key, value = "", None
    for tag, at, end in fields(body, start, stop):
        budget.take()
        if tag == NAME:
            key = text(body, at, end)
        elif tag == SECOND:
            value = _value(body, at, end, budget, value)
        else:  # implementations differ in whether such an entry counts
            raise malformed(f"field {tag >> 3} in an entry of parameters")
    return key, value


VALUE = frozenset(range(1, 6))
BOOL, INT64, UINT64 = tag_of(1, VARINT), tag_of(2, VARINT), tag_of(5, VARINT)
STRING, DOUBLE = tag_of(3, BYTES), tag_of(4, FIXED64)


def _value(body: Body, start: int, stop: int, budget: Budget, value: Any) -> Any:
    """Return the last choice that a value makes, ``value`` where it makes none."""
    for tag, at, end in fields(body, start, stop):
        budget.take()
        if tag == STRING:
            value = text(body, at, end)
        elif tag == DOUBLE:
            (value,) = FLOAT64.unpack_from(body, at)
        elif tag in (BOOL, INT64, UINT64):
            value, _ = varint(body, at)
            value = bool(value) if tag == BOOL else _signed(value) if tag == INT64 else value
        else:
            check_skipped(tag, VALUE)
    return value


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value
