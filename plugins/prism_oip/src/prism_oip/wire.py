"""Protobuf's wire format, read without protobuf: a message is fields, each a tag and what follows it.

The library may be missing in a model's environment, or be of another release; and it copies each tensor,
where a view would do. What the format means is protobuf's: a field that is not known is skipped. Stricter
are two things, which no client writes: a known field of another wire type is refused, where protobuf
takes it for one that is not known, and so is a group.

Tags and lengths are numbers of seven bits a byte, the lowest first, where a set top bit means that
another byte follows (a varint).
"""

from __future__ import annotations

from collections.abc import Iterator

from prism_core.plugin import MalformedBody

Body = bytes | memoryview

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
FIXED = {FIXED64: 8, FIXED32: 4}
# Protobuf's own bounds: a tag has 32 bits, a length 31, a number 64.
MAX_TAG_BYTES, MAX_NUMBER_BYTES = 5, 10
MAX_TAG, MAX_SIZE, MAX_NUMBER = 2**32 - 1, 2**31 - 1, 2**64 - 1
# Fields of a request beside its values: five thousand inputs, and some 60 ms for one who means harm.
MAX_FIELDS = 1 << 15


def tag_of(number: int, wire_type: int) -> int:
    """Return the tag of a field."""
    return number << 3 | wire_type


def varint(body: Body, at: int, most: int = MAX_NUMBER_BYTES) -> tuple[int, int]:
    """Return the number at ``at``, and where it ends.

    Raises
    ------
    MalformedBody
        If the body ends in it, or it takes more than ``most`` bytes.
    """
    value = 0
    for place, byte in enumerate(body[at : at + most]):
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value & MAX_NUMBER, at + place + 1
    raise cut() if at + most > len(body) else malformed("a number of too many bytes")


def field(body: Body, at: int, end: int) -> tuple[int, int, int]:
    """Return the tag of the field at ``at``, and where its content begins and ends.

    The content is the bytes of a string or of a message, a number's own bytes otherwise.

    Raises
    ------
    MalformedBody
        If it is no field, or does not end before ``end``.
    """
    if at + 1 < end:  # nearly all have one byte each of tag and length
        tag, size = body[at], body[at + 1]
        if 7 < tag < 0x80 and size < 0x80 and tag & 7 == BYTES and at + 2 + size <= end:
            return tag, at + 2, at + 2 + size
    tag, start = varint(body, at, MAX_TAG_BYTES)
    if not 8 <= tag <= MAX_TAG:
        raise malformed("a field without a number")
    start, stop = _content(body, start, tag & 7)
    if stop > end:
        raise cut()
    return tag, start, stop


def _content(body: Body, at: int, kind: int) -> tuple[int, int]:
    """Return where the content of a field begins and ends whose tag ends at ``at``."""
    if kind == BYTES:
        size, start = varint(body, at, MAX_TAG_BYTES)
        if size > MAX_SIZE:
            raise malformed("a length of 2 GB or more")
        return start, start + size
    if kind == VARINT:
        return at, varint(body, at)[1]
    if kind in FIXED:
        return at, at + FIXED[kind]
    raise malformed("a group")


class Budget:
    """How many fields are read of one request; a byte or two are a field, and each takes its time.

    Attributes
    ----------
    used
        How many have been read.
    """

    def __init__(self) -> None:
        self.used = 0

    def take(self, fields: int = 1) -> None:
        """Read so many more.

        Raises
        ------
        MalformedBody
            If they are more than a request may have.
        """
        self.used += fields
        if self.used > MAX_FIELDS:
            raise malformed(f"more than {MAX_FIELDS} fields")


def fields(body: Body, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield tag, start and end of each field of the message between ``at`` and ``end``."""
    while at < end:
        found = field(body, at, end)
        yield found
        at = found[2]


def text(body: Body, start: int, stop: int) -> str:
    """Return a string.

    Raises
    ------
    MalformedBody
        If it is not UTF-8.
    """
    try:
        return str(body[start:stop], "utf-8")
    except UnicodeDecodeError:
        raise malformed("a string that is not UTF-8") from None


def check_skipped(tag: int, known: frozenset[int]) -> None:
    """Return where a field that nobody reads may be skipped: its number is not among ``known``.

    Raises
    ------
    MalformedBody
        If it is one of the message, of another wire type.
    """
    if tag >> 3 in known:
        raise malformed(f"field {tag >> 3} with the wire type {tag & 7}")


def malformed(what: str) -> MalformedBody:
    """Return the error of a message that holds ``what``."""
    return MalformedBody(
        f"The message holds {what}.", hint="Send a serialized ModelInferRequest of package inference."
    )


def cut() -> MalformedBody:
    """Return the error of a message that ends where something has to follow."""
    return MalformedBody(
        "The message ends in the middle of a field.",
        hint="Send a serialized ModelInferRequest of package inference.",
    )
