"""``application/vnd.prism.oip`` on its way out: a prefix for the gateway, JSON, and raw tensors behind it."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import orjson

from prism_core.plugin import Answer
from prism_oip.media import ENCODINGS, PREFIX
from prism_oip.reply import PLAIN, Reply
from prism_oip.writing.packing import pack
from prism_oip.writing.tensors import Tensor, is_hidden, json_of, raw_of, tensor_of

# Numbers that are written as JSON, and bytes that are copied, in well under a millisecond.
STEP_VALUES = 8192
STEP_BYTES = 512 * 1024


class Written(NamedTuple):
    """An output: its values as parts of JSON, or raw."""

    tensor: Tensor
    json: Sequence[bytes] = ()
    raw: memoryview | None = None


def encode(answer: Answer) -> bytes:
    """Return the body of an answer, behind the prefix.

    Raises
    ------
    TakesLong
        If it is waited for, and a large one is to be packed.
    """
    reply = answer.reply if isinstance(answer.reply, Reply) else PLAIN
    header, raw = _parts(answer, reply, [_written(tensor, reply) for tensor in _tensors(answer)])
    header_bytes = sum(map(len, header)) if raw else 0
    if reply.packing:
        packed = pack([*header, *raw], reply.packing, waited_for=answer.waited_for)
        if packed is not None:
            return PREFIX.pack(header_bytes, ENCODINGS.index(reply.packing)) + packed
    return b"".join((PREFIX.pack(header_bytes, 0), *header, *raw))


def encode_steps(
    answer: Answer, step_values: int = STEP_VALUES
) -> Generator[None, None, bytes | bytearray | None]:
    """As `encode`, in steps; None where that is to be asked: what is packed, and texts."""
    reply = answer.reply if isinstance(answer.reply, Reply) else PLAIN
    tensors = _tensors(answer)
    if reply.packing or any(isinstance(tensor.values, list) for tensor in tensors):
        return None
    written = []
    for tensor in tensors:
        if reply.is_raw(tensor.name):
            written.append(_written(tensor, reply))
        else:
            json = yield from _json_steps(tensor, step_values)
            written.append(Written(tensor, json))
    header, raw = _parts(answer, reply, written)
    yield
    header_bytes = sum(map(len, header)) if raw else 0
    return (yield from _joined([PREFIX.pack(header_bytes, 0), *header, *raw]))


def _tensors(answer: Answer) -> list[Tensor]:
    return [tensor_of(name, value) for name, value in answer.outputs.tensors.items()]


def _written(tensor: Tensor, reply: Reply) -> Written:
    if reply.is_raw(tensor.name):
        return Written(tensor, raw=raw_of(tensor))
    return Written(tensor, (json_of(tensor),))


def _json_steps(tensor: Tensor, step_values: int) -> Generator[None, None, list[bytes]]:
    parts: list[bytes] = []
    for at in range(0, len(tensor.values), step_values):
        some = Tensor(tensor.name, tensor.datatype, (), tensor.values[at : at + step_values])
        parts += [b"," if at else b"[", json_of(some)[1:-1]]
        yield
    return [*parts, b"]"] if parts else [b"[]"]


def _parts(answer: Answer, reply: Reply, written: Sequence[Written]) -> tuple[list[bytes], list[memoryview]]:
    """Return the JSON, and the raw tensors behind it."""
    said = [
        (tensor.name, tensor.datatype, tensor.shape, None if raw is None else len(raw))
        for tensor, _, raw in written
    ]
    first, *heads, last = _said(answer.model, answer.version, tuple(said))
    header = [first] if reply.id is None else [first, b',"id":', orjson.dumps(reply.id)]
    for head, output in zip(heads, written, strict=True):
        header += (head, *output.json)
    header.append(last)
    if hidden := [output.tensor.name for output in written if _hides(output)]:
        warnings = [f"NaN or Infinity in {name!r} was written as null." for name in hidden]
        header += [b',"parameters":', orjson.dumps({"warnings": warnings})]
    header.append(b"}")
    return header, [output.raw for output in written if output.raw is not None]


def _hides(output: Written) -> bool:
    """Whether null stands for a number. Looking for its first letter is far cheaper than `np.isfinite`."""
    values = output.tensor.values
    numbers = isinstance(values, np.ndarray) and values.dtype.kind == "f"
    return numbers and any(b"n" in part for part in output.json) and is_hidden(output.tensor)


def _joined(parts: Sequence[bytes | memoryview]) -> Generator[None, None, bytearray]:
    """Return all parts in one buffer, each copied once."""
    joined, at = bytearray(sum(map(len, parts))), 0
    for part in parts:
        for start in range(0, len(part), STEP_BYTES):
            some = memoryview(part)[start : start + STEP_BYTES]
            joined[at : at + len(some)] = some
            at += len(some)
            if len(some) == STEP_BYTES:
                yield
    return joined


@lru_cache(maxsize=512)  # most answers differ in their values alone
def _said(
    model: str, version: int, outputs: tuple[tuple[str, str, tuple[int, ...], int | None], ...]
) -> tuple[bytes, ...]:
    """Return the JSON up to an id, up to the values of each output, and behind those of the last.

    Of an output that is name, datatype, shape, and how many bytes are behind the JSON, None for values in it.
    """
    pieces = [orjson.dumps({"model_name": model, "model_version": str(version)})[:-1]]
    before = b',"outputs":['
    for name, datatype, shape, raw_bytes in outputs:
        head = before + orjson.dumps({"name": name, "datatype": datatype, "shape": shape})[:-1]
        sized = b',"data":' if raw_bytes is None else b',"parameters":{"binary_data_size":%d}' % raw_bytes
        pieces.append(head + sized)
        before = b"},"
    pieces.append(b"}]" if outputs else b',"outputs":[]')
    return tuple(pieces)
