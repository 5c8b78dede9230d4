"""Large JSON answers, written some thousand values at a time.

The document is written with a mark in place of each large array of numbers; the arrays are
written row by row meanwhile, and put in place of the marks in one buffer in the end.
"""

from __future__ import annotations

import secrets
from collections.abc import Generator, Iterator
from typing import Any

import numpy as np
import orjson

from prism_core.inputs.json_out import PLAIN, document_of, dump, warnings_of
from prism_core.plugin import Answer

# Written in well under a millisecond.
STEP_VALUES = 8192
STEP_BYTES = 512 * 1024

Array = np.ndarray[Any, Any]


def encode(answer: Answer, step_values: int = STEP_VALUES) -> Generator[None, None, bytes | bytearray]:
    """Return the JSON body of an answer as `json_out.encode` does, in steps."""
    document = document_of(answer)
    written: dict[bytes, list[bytes]] = {}
    for values in (document, document.get("outputs", {})):
        for name, tensor in values.items():
            if isinstance(tensor, np.ndarray) and tensor.size > step_values and _is_plain(tensor):
                mark = secrets.token_hex(16).encode()
                written[mark] = yield from _in_steps(tensor, step_values)
                values[name] = orjson.Fragment(mark)
    body = dump(document)
    # "n" is quicker to find than "null", and among numbers it means the same.
    if b"null" in body or any(b"n" in part for parts in written.values() for part in parts):
        yield
        if warnings := warnings_of(answer):
            document["warnings"] = warnings
            body = dump(document)
    return (yield from _filled(body, written))


def _is_plain(tensor: Array) -> bool:
    # As orjson writes them: neither half precision, which it learned late, nor a long double.
    return tensor.dtype.char in "?bBhHiIlLqQfd" and tensor.dtype.isnative and tensor.flags.c_contiguous


def _in_steps(tensor: Array, step_values: int) -> Generator[None, None, list[bytes]]:
    parts = []
    for part in _written(tensor, step_values):
        parts.append(part)
        yield
    return parts


def _written(tensor: Array, step_values: int) -> Iterator[bytes]:
    """Yield the JSON of an array; what is read between two yields is small."""
    if tensor.size <= step_values or tensor.ndim == 0:
        yield orjson.dumps(tensor, option=PLAIN)
        return
    yield b"["
    if tensor.ndim > 1 and tensor[0].size > step_values:
        for at, part in enumerate(tensor):
            if at:
                yield b","
            yield from _written(part, step_values)
    else:
        rows = step_values // max(1, tensor[0].size)
        for at in range(0, len(tensor), rows):
            text = orjson.dumps(tensor[at : at + rows], option=PLAIN)[1:-1]
            yield b"," + text if at else text
    yield b"]"


def _filled(body: bytes, written: dict[bytes, list[bytes]]) -> Generator[None, None, bytes | bytearray]:
    """Return ``body`` with the parts that were written in place of their marks."""
    whole: list[bytes] = []
    for mark, parts in written.items():
        before, _, body = body.partition(mark)
        whole += [before, *parts]
    whole.append(body)
    filled, at, stepped = bytearray(sum(map(len, whole))), 0, 0
    for part in whole:
        filled[at : at + len(part)] = part
        at += len(part)
        if at - stepped > STEP_BYTES:
            stepped = at
            yield
    return filled
