"""``application/vnd.prism.oip.grpc`` on its way out: a serialized ``ModelInferResponse``.

Outputs are raw where the request's inputs were, typed where those were, as KServe, MLServer and
OpenVINO's server have it; Triton answers raw to both. The request's parameter ``binary_data_output`` asks
for either. Where one output has no typed form, all are raw: clients tell them apart by their places.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from prism_core.plugin import Answer
from prism_oip.reading.contents import FIELDS, TEXT
from prism_oip.reading.typed import FIELD_OF
from prism_oip.reply import Reply
from prism_oip.wire import BYTES, VARINT, tag_of
from prism_oip.writing.tensors import Tensor, raw_of, tensor_of
from prism_oip.writing.varints import pack, varint

# Their fields: of a response, of one of its outputs.
MODEL, VERSION, ID, _, OUTPUT, RAW = (bytes((tag_of(number, BYTES),)) for number in range(1, 7))
NAME, DATATYPE, SHAPE, _, CONTENTS = (bytes((tag_of(number, BYTES),)) for number in range(1, 6))


def encode(answer: Answer) -> bytes:
    """Return the message; the bytes of raw outputs are copied once, into it."""
    tensors = [tensor_of(name, value) for name, value in answer.outputs.tensors.items()]
    reply = answer.reply if isinstance(answer.reply, Reply) else None
    parts = [_model(answer.model, answer.version)]
    if reply and reply.id:
        parts.append(_sized(ID, reply.id.encode()))
    if reply and not reply.raw and all(tensor.datatype in FIELD_OF for tensor in tensors):
        for tensor in tensors:
            head, contents = _head(tensor.name, tensor.datatype, tensor.shape), _contents(tensor)
            parts += (OUTPUT, varint(len(head) + len(contents)), head, contents)
        return b"".join(parts)
    for tensor in tensors:
        parts.append(_output(tensor.name, tensor.datatype, tensor.shape))
    for tensor in tensors:
        raw = raw_of(tensor)
        parts += (RAW, varint(len(raw)), raw)  # type: ignore[arg-type]  # join takes whatever holds bytes
    return b"".join(parts)


@lru_cache(maxsize=64)
def _model(name: str, version: int) -> bytes:
    return _sized(MODEL, name.encode()) + _sized(VERSION, str(version).encode())


@lru_cache(maxsize=256)
def _output(name: str, datatype: str, shape: tuple[int, ...]) -> bytes:
    return _sized(OUTPUT, _head(name, datatype, shape))


@lru_cache(maxsize=256)
def _head(name: str, datatype: str, shape: tuple[int, ...]) -> bytes:
    named = _sized(NAME, name.encode("utf-8", "replace")) + _sized(DATATYPE, datatype.encode())
    return named + _sized(SHAPE, b"".join(map(varint, shape))) if shape else named


def _contents(tensor: Tensor) -> bytes:
    """Return the field of a tensor's values."""
    number, values = FIELD_OF[tensor.datatype], tensor.values
    if not isinstance(values, np.ndarray):
        return _sized(CONTENTS, b"".join([_sized(bytes((TEXT,)), _text(value)) for value in values]))
    if not len(values):
        return b""
    packed = pack(values) if FIELDS[number].kind == VARINT else values.tobytes()
    return _sized(CONTENTS, _sized(bytes((tag_of(number, BYTES),)), packed))


def _text(value: str | bytes | None) -> bytes:
    return value.encode("utf-8", "replace") if isinstance(value, str) else value or b""


def _sized(tag: bytes, content: bytes) -> bytes:
    return tag + varint(len(content)) + content
