"""``application/vnd.prism.oip`` on its way out: a prefix for the gateway, JSON, and raw tensors behind it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from prism_core.plugin import Answer
from prism_oip.media import PREFIX
from prism_oip.reply import PLAIN, Reply
from prism_oip.writing.tensors import Tensor, is_hidden, json_of, raw_of, tensor_of


def encode(answer: Answer) -> bytes:
    """Return the body of an answer, behind the prefix."""
    header, raw = parts(answer)
    size = sum(map(len, header))
    return b"".join((PREFIX.pack(size if raw is not None else 0, 0), *header, *(raw or ())))


def parts(answer: Answer) -> tuple[list[bytes], list[memoryview] | None]:
    """Return the JSON, and the raw tensors behind it; None where none is raw."""
    reply = answer.reply if isinstance(answer.reply, Reply) else PLAIN
    tensors = [tensor_of(name, value) for name, value in answer.outputs.tensors.items()]
    raw = {tensor.name: raw_of(tensor) for tensor in tensors if reply.is_raw(tensor.name)}
    header = [_head(answer, reply), b'"outputs":[']
    for at, tensor in enumerate(tensors):
        header += [b"," if at else b"", *_output(tensor, raw.get(tensor.name))]
    header.append(b"]")
    if any(b"null" in part for part in header) and (hidden := _hidden(tensors, raw)):
        header += [b',"parameters":', orjson.dumps({"warnings": hidden})]
    header.append(b"}")
    return header, list(raw.values()) if raw else None


def _head(answer: Answer, reply: Reply) -> bytes:
    said: dict[str, Any] = {"model_name": answer.model, "model_version": str(answer.version)}
    if reply.id is not None:
        said["id"] = reply.id
    return orjson.dumps(said)[:-1] + b","


def _output(tensor: Tensor, raw: memoryview | None) -> Iterator[bytes]:
    yield orjson.dumps({"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape})[:-1]
    if raw is None:
        yield b',"data":'
        yield json_of(tensor)
        yield b"}"
    else:
        yield b',"parameters":{"binary_data_size":%d}}' % len(raw)


def _hidden(tensors: list[Tensor], raw: dict[str, memoryview]) -> list[str]:
    names = [tensor.name for tensor in tensors if tensor.name not in raw and is_hidden(tensor)]
    return [f"NaN or Infinity in {name!r} was written as null." for name in names]
