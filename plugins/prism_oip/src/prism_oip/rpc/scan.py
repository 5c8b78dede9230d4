"""Whom a serialized request is for, and nothing else of it: a gateway decodes no tensors.

Only the fields at the top of the message are looked at, and what has a length is skipped by it. So the
time does not depend on the size of the tensors.
"""

from __future__ import annotations

from prism_core.plugin import MalformedBody
from prism_oip.wire import BYTES, check_skipped, cut, field, malformed, tag_of, text

MODEL_NAME, MODEL_VERSION, ID = tag_of(1, BYTES), tag_of(2, BYTES), tag_of(3, BYTES)
# Fields 1 to 7 are known, and all have a length.
KNOWN = frozenset(range(1, 8))
# Thousands of inputs, and 30 ms of the gateway at most for one who means harm.
MAX_FIELDS = 1 << 14
# No model or alias is called anything as long; it would only be sent back in an error.
MAX_NAME_BYTES = 512


def scan(message: bytes) -> tuple[str, str, str]:
    """Return ``model_name``, ``model_version`` and ``id`` of a serialized ``ModelInferRequest``.

    Of a field that occurs several times the last one counts. A field that is missing is "".

    Raises
    ------
    MalformedBody
        If the bytes are no fields one after the other to their end.
    """
    found: dict[int, tuple[int, int]] = {}
    at, end = 0, len(message)
    for _ in range(MAX_FIELDS):
        if at + 1 >= end:
            break
        tag, size = message[at], message[at + 1]
        if 7 < tag < 0x80 and size < 0x80 and tag & 7 == BYTES:  # nearly all: one byte of each
            start = at + 2
            at = start + size
        else:
            tag, start, at = field(message, at, end)
            if tag & 7 != BYTES:
                check_skipped(tag, KNOWN)
        if tag <= ID:
            found[tag] = start, at
    if at != end:
        raise cut() if at > end or at + 1 == end else malformed(f"more than {MAX_FIELDS} fields")
    return (
        _name(message, "model_name", *found.get(MODEL_NAME, (0, 0))),
        _name(message, "model_version", *found.get(MODEL_VERSION, (0, 0))),
        text(message, *found.get(ID, (0, 0))),
    )


def _name(message: bytes, what: str, start: int, stop: int) -> str:
    if stop - start > MAX_NAME_BYTES:
        raise MalformedBody(f"{what} has {stop - start} bytes; no name has more than {MAX_NAME_BYTES}.")
    return text(message, start, stop)
