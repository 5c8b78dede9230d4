"""One answer to a request, and its body read as columns of rows."""

from __future__ import annotations

from typing import Any

import msgspec

from prism_core.fitting.tensors import MEDIA_TYPE as TENSORS
from prism_core.traffic.comparing import inference, message, tensors
from prism_core.traffic.comparing.columns import Columns, Unreadable

# What is larger is not read: a megabyte of JSON takes about ten milliseconds.
MOST_BYTES = 1 << 20
# Of each output; the first rows are compared.
MOST_VALUES = 10_000
JSON = "application/json"
READABLE = frozenset({JSON, TENSORS, inference.MEDIA_TYPE, message.MEDIA_TYPE})
# Keys of PRISM's own answers that are no outputs.
_TOLD = frozenset({"model", "version", "classes", "warnings", "outputs"})


class Answer(msgspec.Struct, frozen=True, gc=False):
    """What answered a request.

    Parameters
    ----------
    media_type, body
        As the runtime sent them; empty for an error.
    code
        ``ok``, or the code of the error that was answered instead.
    latency_s
        How long it took; negative where that says nothing, for a cached answer for instance.
    """

    media_type: str = ""
    body: bytes | memoryview = b""
    code: str = "ok"
    latency_s: float = -1.0


def columns(answer: Answer) -> Columns | None:
    """Return the outputs of an answer by name; None for a media type of which nothing is known.

    Raises
    ------
    Unreadable
        If the body is not what its media type says, or too large.
    """
    kind = plain(answer.media_type)
    body = memoryview(answer.body)
    if kind not in READABLE:
        return None
    if len(body) > MOST_BYTES:
        raise Unreadable(f"it has more than {MOST_BYTES} bytes")
    if kind == TENSORS:
        return tensors.read(body, MOST_VALUES)
    if kind == message.MEDIA_TYPE:
        return message.read(body, MOST_VALUES)
    if kind == JSON:
        return _from_json(body, body[:0])
    return _from_json(*inference.unpacked(body, MOST_BYTES))


def plain(media_type: str) -> str:
    """Return a media type without its parameters."""
    return media_type.partition(";")[0].strip().lower()


def _from_json(body: memoryview, raw: memoryview) -> Columns:
    try:
        document = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise Unreadable(str(error)) from None
    if not isinstance(document, dict):
        return {"": _as_rows(document)}
    outputs = document.get("outputs")
    if isinstance(outputs, list) and inference.are_outputs(outputs):
        return inference.read(outputs, raw, MOST_VALUES)
    told = {name: value for name, value in document.items() if name not in _TOLD}
    if isinstance(outputs, dict):
        told |= outputs
    return {name: _as_rows(value) for name, value in told.items()}


def _as_rows(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
