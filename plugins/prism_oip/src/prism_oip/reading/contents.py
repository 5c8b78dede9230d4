"""Typed contents: the values of a tensor in fields of a message, packed or each in a field of its own.

Protobuf writes numbers packed; read they must be either way, and mixed. Both become the bytes of one
packed field, a view of the body where there is a single one. Numbers in fields of their own are found by
a pattern, thousands at a time: a loop over them would keep the server busy.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np

from prism_core.plugin import Faults, Limits
from prism_oip.reading import raw, varints
from prism_oip.wire import BYTES as SIZED
from prism_oip.wire import FIXED, FIXED32, FIXED64, VARINT, Body, Budget, check_skipped, cut, field

Array = np.ndarray[Any, Any]


@attrs.frozen
class Field:
    """A field of numbers: how one is written, and its type."""

    name: str
    kind: int
    dtype: np.dtype[Any]


FIELDS = {
    1: Field("bool_contents", VARINT, np.dtype(bool)),
    2: Field("int_contents", VARINT, np.dtype(np.int32)),
    3: Field("int64_contents", VARINT, np.dtype(np.int64)),
    4: Field("uint_contents", VARINT, np.dtype(np.uint32)),
    5: Field("uint64_contents", VARINT, np.dtype(np.uint64)),
    6: Field("fp32_contents", FIXED32, np.dtype("<f4")),
    7: Field("fp64_contents", FIXED64, np.dtype("<f8")),
}
TEXTS = 8
KNOWN = frozenset((*FIELDS, TEXTS))
TEXT = TEXTS << 3 | SIZED
# How numbers look that have fields of their own, one after the other.
VALUE = {VARINT: rb"[\x80-\xff]*+[\x00-\x7f]", FIXED32: rb".{4}", FIXED64: rb".{8}"}
RUNS = {
    (tag := number << 3 | one.kind): re.compile(b"(?s:" + re.escape(bytes([tag])) + VALUE[one.kind] + b")++")
    for number, one in FIELDS.items()
}
# Nobody else computes while a pattern is matched.
RUN_BYTES = 64 * 1024
# What it costs to take one apart, in fields; few are as short as one number.
RUN_FIELDS = 16


def gather(name: str, pieces: Sequence[Body], faults: Faults, limits: Limits, budget: Budget) -> Contents:
    """Return what the contents of the input ``name`` hold, which may come in pieces.

    Raises
    ------
    MalformedBody
        If they are no such message.
    PayloadTooLarge
        If they hold more texts than the server takes values.
    """
    found = Contents(name, faults, limits, budget)
    for piece in pieces:
        found.add(piece)
    return found


class Contents:
    """What the fields of a tensor hold."""

    def __init__(self, name: str, faults: Faults, limits: Limits, budget: Budget) -> None:
        self._name, self._faults, self._limits, self._budget = name, faults, limits, budget
        self._packed: dict[int, Body | bytearray] = {}
        self._texts: list[str] = []

    @property
    def filled(self) -> list[int]:
        """The fields that hold values."""
        numbers = [number for number, data in self._packed.items() if len(data)]
        return [*numbers, TEXTS] if self._texts else numbers

    def array(self, number: int) -> Array:
        """Return the values of one field, numbers of fixed size as a view where that can be."""
        if number == TEXTS:
            texts: Array = np.empty(len(self._texts), dtype=object)
            texts[:] = self._texts
            return texts
        data = np.frombuffer(self._packed.get(number, b""), dtype=np.uint8)
        if FIELDS[number].kind != VARINT:
            return data.view(FIELDS[number].dtype)
        self._limits.check_values(varints.count(data))
        return varints.unpack(data, FIELDS[number].dtype)

    def add(self, body: Body) -> None:
        """Read a message of contents; what it holds comes behind what there is."""
        at, end = 0, len(body)
        while at < end:
            tag = body[at]
            if tag == TEXT:
                at, body = self._add_texts(body, at)
            elif tag in RUNS and (run := RUNS[tag].match(body, at, at + RUN_BYTES)):
                at = run.end()
                self._budget.take(RUN_FIELDS)
                self._pack(tag >> 3, _without_tags(run[0], tag & 7))
            else:
                at = self._add_field(body, at)

    def _add_field(self, body: Body, at: int) -> int:
        """Read the field at ``at``, packed numbers mostly; return where it ends."""
        tag, start, stop = field(body, at, len(body))
        self._budget.take()
        if (number := tag >> 3) in FIELDS and tag & 7 in (SIZED, FIELDS[number].kind):
            self._pack(number, body[start:stop])
        elif tag == TEXT:  # its tag has more bytes than it needs
            self._texts.append(raw.text(self._name, len(self._texts), body[start:stop], self._faults))
        else:
            check_skipped(tag, KNOWN)
        return stop

    def _add_texts(self, body: Body, at: int) -> tuple[int, bytes]:
        """Read texts one after the other; return where they end, in bytes, of which slices are quicker."""
        body, texts = bytes(body), self._texts
        end, most = len(body), self._limits.max_values
        while at < end and body[at] == TEXT:
            if at + 1 < end and (size := body[at + 1]) < 0x80 and at + 2 + size <= end:
                start, at = at + 2, at + 2 + size
            else:
                _, start, at = field(body, at, end)
            try:
                texts.append(body[start:at].decode())
            except UnicodeDecodeError:
                texts.append(raw.text(self._name, len(texts), body[start:at], self._faults))
            if len(texts) > most:
                self._limits.check_values(len(texts))
        return at, body

    def _pack(self, number: int, piece: Body) -> None:
        kind = FIELDS[number].kind
        if piece[-1] >= 0x80 if kind == VARINT and len(piece) else len(piece) % FIXED.get(kind, 1):
            raise cut()
        before = self._packed.get(number)
        if not before:
            self._packed[number] = piece
        elif isinstance(before, bytearray):
            before += piece
        else:
            self._packed[number] = bytearray(before) + piece


def _without_tags(run: bytes, kind: int) -> bytes:
    """Return the values of fields that were found by their pattern, packed."""
    data = np.frombuffer(run, dtype=np.uint8)
    if kind != VARINT:
        return data.reshape(-1, 1 + FIXED[kind])[:, 1:].tobytes()
    # A tag of one byte looks like a number of one: every other end of a number is one.
    kept = np.ones(len(data), dtype=bool)
    kept[np.flatnonzero(data < 0x80)[::2]] = False
    return data[kept].tobytes()
