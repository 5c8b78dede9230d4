"""``application/vnd.prism.oip`` on its way out: a prefix for the gateway, JSON, and raw tensors behind it."""

from __future__ import annotations

from functools import lru_cache

import orjson

from prism_core.plugin import Answer
from prism_oip.media import PREFIX
from prism_oip.reply import PLAIN, Reply
from prism_oip.writing.tensors import is_hidden, json_of, raw_of, tensor_of


def encode(answer: Answer) -> bytes:
    """Return the body of an answer, behind the prefix."""
    header, raw = parts(answer)
    size = sum(map(len, header))
    return b"".join((PREFIX.pack(size if raw is not None else 0, 0), *header, *(raw or ())))


def parts(answer: Answer) -> tuple[list[bytes], list[memoryview] | None]:
    """Return the JSON, and the raw tensors behind it; None where none is raw."""
    reply = answer.reply if isinstance(answer.reply, Reply) else PLAIN
    tensors = [tensor_of(name, value) for name, value in answer.outputs.tensors.items()]
    raws = [raw_of(tensor) if reply.is_raw(tensor.name) else None for tensor in tensors]
    said = [
        (tensor.name, tensor.datatype, tensor.shape, None if raw is None else len(raw))
        for tensor, raw in zip(tensors, raws, strict=True)
    ]
    first, *heads, last = _said(answer.model, answer.version, tuple(said))
    header = [first] if reply.id is None else [first, b',"id":', orjson.dumps(reply.id)]
    hidden = []
    for head, tensor, raw in zip(heads, tensors, raws, strict=True):
        header.append(head)
        if raw is None:
            header.append(values := json_of(tensor))
            if b"null" in values and is_hidden(tensor):
                hidden.append(f"NaN or Infinity in {tensor.name!r} was written as null.")
    header.append(last)
    if hidden:
        header += [b',"parameters":', orjson.dumps({"warnings": hidden})]
    header.append(b"}")
    behind = [raw for raw in raws if raw is not None]
    return header, behind or None


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
