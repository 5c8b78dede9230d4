"""Large requests in JSON, decoded a few dozen kilobytes at a time.

A decoder holds the interpreter for as long as it decodes. Here the values of each input are cut out of
the JSON, and decoded as lists of their own; what is left says whose they are.

A cut may be wrong, within a string for instance, but never go unnoticed: a piece that begins or ends in
the middle of something is not JSON, and what is left has to name each piece in its place. So whatever is
rare or faulty is None here and left to `rest`, which tells what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from functools import lru_cache
from typing import Any

import attrs
import numpy as np
from msgspec import UNSET

from prism_core.plugin import MISFITS, NUMPY_TYPES, MalformedBody, Request, Signature
from prism_oip.reading import document
from prism_oip.reading.document import Document, Tensor
from prism_oip.reading.quick import is_plain
from prism_oip.reading.shapes import MAX_AXES, count_of
from prism_oip.reading.values import decoder

Array = np.ndarray[Any, Any]

# Decoded in about half a millisecond.
PIECE_BYTES = 64 * 1024
# So many pieces further a cut is looked for.
FAR = 5
# What is left between the values of all inputs.
MAX_REST_BYTES = 256 * 1024

_SPACE = rb"[ \t\n\r]*"
_BEGIN = re.compile(rb'"data"%b:%b((?:\[%b)+)("?)' % (_SPACE, _SPACE, _SPACE))
_BETWEEN_TEXTS = re.compile(rb'"%b(,)%b"' % (_SPACE, _SPACE))
_END_OF_TEXTS = re.compile(rb'"%b(\])' % _SPACE)


@attrs.frozen
class Span:
    """Where values lie: ``start`` and ``end`` are those of what the outermost brackets enclose."""

    start: int
    end: int
    depth: int
    texts: bool


def read(
    head: memoryview, signature: Signature, request: Request, piece_bytes: int = PIECE_BYTES
) -> Generator[None, None, tuple[Document, dict[str, Array]] | None]:
    """Return what ``head`` says, and the arrays in it, in steps; None: ask the plain way."""
    spans: list[Span] = []
    for span in _spans(head):
        if span is None or len(spans) == len(signature.inputs):
            return None
        spans.append(span)
        yield
    said = _without(head, spans, request)
    if said is None:
        return None
    yield
    arrays: dict[str, Array] = {}
    try:
        for tensor, span in zip(said.inputs, spans, strict=True):
            spec = signature.input(tensor.name)
            nullable = spec is not None and spec.nullable
            arrays[tensor.name] = yield from _array(head, tensor, span, nullable, piece_bytes)
    except (*MISFITS, MalformedBody):
        return None
    return (said, arrays) if len(arrays) == len(spans) else None


def _spans(head: memoryview) -> Iterator[Span | None]:
    """Yield where the values of each input lie, None where that cannot be told."""
    at = 0
    while begin := _BEGIN.search(head, at):
        depth, texts = begin[1].count(b"["), bool(begin[2])
        if depth > MAX_AXES:
            yield None
            return
        start = begin.start(1) + 1
        if texts:
            end = _END_OF_TEXTS.search(head, begin.end()) if depth == 1 else None
        else:
            end = _end(depth).search(head, start)
        if end is None:
            yield None
            return
        yield Span(start, end.end() - 1, depth, texts)
        at = end.end()


@lru_cache(maxsize=64)
def _end(depth: int) -> re.Pattern[bytes]:
    """Return what ends numbers, ``depth`` lists deep."""
    return re.compile(_SPACE.join([rb"\]"] * depth))


@lru_cache(maxsize=64)
def _between(depth: int) -> re.Pattern[bytes]:
    """Return what stands between two rows of numbers; its first group is the comma."""
    closing, opening = [rb"\]"] * (depth - 1), [rb"\["] * (depth - 1)
    return re.compile(_SPACE.join([*closing, rb"(,)", *opening]))


def _without(head: memoryview, spans: list[Span], request: Request) -> Document | None:
    """Return what the JSON says beside its values; in place of those of input 3 stands 3."""
    parts: list[bytes | memoryview] = []
    at = 0
    for index, span in enumerate(spans):
        parts += [head[at : span.start], b"%d" % index]
        at = span.end
    parts.append(head[at:])
    if sum(map(len, parts)) > MAX_REST_BYTES:
        return None
    try:
        said = document.read(memoryview(b"".join(parts)), request.limits)
    except MalformedBody:
        return None
    if not all(is_plain(tensor.parameters) for tensor in said.inputs if tensor.parameters):
        return None
    data = [b"" if tensor.data is UNSET else bytes(tensor.data) for tensor in said.inputs]
    return said if data == [b"[%d]" % index for index in range(len(spans))] else None


def _array(
    head: memoryview, tensor: Tensor, span: Span, nullable: bool, piece_bytes: int
) -> Generator[None, None, Array]:
    """Return the values of one input, in steps."""
    shape = tuple(tensor.shape)
    count, size = count_of(tensor.name, shape), span.end - span.start
    if tensor.datatype not in NUMPY_TYPES or not 0 < count <= size or span.depth not in (1, len(shape)):
        raise ValueError("not plainly an array")
    found = np.empty((count,) if span.depth == 1 else shape, NUMPY_TYPES[tensor.datatype])
    decode = decoder(tensor.datatype, nullable, span.depth)
    filled = 0
    for piece in _cut(head, span, piece_bytes):
        part = np.array(decode(b"[%b]" % piece), found.dtype)
        if part.shape[1:] != found.shape[1:] or filled + len(part) > len(found):
            raise ValueError("rows of another shape, or more than there should be")
        found[filled : filled + len(part)] = part
        filled += len(part)
        yield
    if filled != len(found):
        raise ValueError("fewer than there should be")
    return found.reshape(shape)


def _cut(head: memoryview, span: Span, piece_bytes: int) -> Iterator[bytes]:
    between = _BETWEEN_TEXTS if span.texts else _between(span.depth)
    at = span.start
    while span.end - at > piece_bytes:
        cut = between.search(head, at + piece_bytes, min(span.end, at + FAR * piece_bytes))
        if cut is None:
            if span.end - at > FAR * piece_bytes:
                raise ValueError("a row is too long")
            break
        yield bytes(head[at : cut.start(1)])
        at = cut.end(1)
    yield bytes(head[at : span.end])
