"""Large JSON tables, decoded a few dozen kilobytes at a time.

A decoder holds the interpreter for as long as it decodes: tens of milliseconds for 10,000
rows, in which a replica answers nobody. Here the list of rows is cut between two rows and
each piece is decoded as a list of its own.

A cut may be wrong, inside a string or a nested list, but never go unnoticed. If ``[a]``
and ``[b]`` are JSON then ``[a,b]`` is, and means the rows of both; a piece that begins or
ends in the middle of something is not JSON. So whatever does not decode, and all that is
rare or faulty, is None here and left to `json_in`, which tells what is wrong.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from prism_core.fitting.counting import check_values_steps
from prism_core.fitting.values import MISFITS
from prism_core.inputs.pieces import PIECE_BYTES, PieceReader, Steps, has_rows
from prism_core.plugin import Batch, Request, Signature

# So many pieces further a cut is looked for: rows are shorter, and what follows them too.
FAR = 5

_BEGIN = re.compile(rb'[ \t\n\r]*(\{[ \t\n\r]*"(?:input|inputs|instances)"[ \t\n\r]*:[ \t\n\r]*)?\[')
_BETWEEN = re.compile(rb"[\]}][ \t\n\r]*(,)[ \t\n\r]*[\[{]")
# What may follow the list: the end of the body, or other keys.
_END = re.compile(rb"\][ \t\n\r]*\}[ \t\n\r]*\Z")
_BARE_END = re.compile(rb"\][ \t\n\r]*\Z")
_MORE = re.compile(rb"\][ \t\n\r]*,[ \t\n\r]*\"")


class _Rest(msgspec.Struct, forbid_unknown_fields=True):
    """What stands beside the list in a body: a second list of rows is an unknown key."""

    outputs: tuple[str, ...] = ()
    parameters: dict[str, Any] | None = None


_decode_rest = msgspec.json.Decoder(_Rest).decode


def normalize(
    body: memoryview, signature: Signature, request: Request, piece_bytes: int = PIECE_BYTES
) -> Steps:
    """Return the batch of a table as `json_in.normalize` does, in steps; None: ask that."""
    begin = _BEGIN.match(body, 0, 1024)
    if begin is None or not has_rows(signature):
        return None
    yield from check_values_steps(body, request.limits, escapes=True)
    reader = PieceReader.of(signature)
    try:
        at = begin.end()
        while (cut := _cut(body, at, piece_bytes)) >= 0:
            reader.read(body[at:cut])
            at = cut + 1
            yield
        end = _last(body, at, bare=begin[1] is None)
        if end is None:
            return None
        reader.read(body[at : end.start()])
        rest = _Rest() if end.re is not _MORE else _decode_rest(b'{"%b' % bytes(body[end.end() :]))
        yield
        tensors = yield from reader.joined()
    except MISFITS:
        return None
    return Batch(tensors, rest.outputs, rest.parameters or {})


def _cut(body: memoryview, at: int, piece_bytes: int) -> int:
    """Return where the comma is behind the piece that begins at ``at``, -1 if it is the last."""
    if between := _BETWEEN.search(body, at + piece_bytes, at + FAR * piece_bytes):
        return between.start(1)
    if len(body) - at > FAR * piece_bytes:
        raise ValueError("a row, or what follows the rows, is too long")
    return -1


def _last(body: memoryview, at: int, *, bare: bool) -> re.Match[bytes] | None:
    """Return the end of the list whose last piece begins at ``at``."""
    if bare:
        return _BARE_END.search(body, at)
    return _END.search(body, at) or _MORE.search(body, at)
