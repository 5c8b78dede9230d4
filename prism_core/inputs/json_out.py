"""``application/json``, on its way out: ``{"model", "version", "predictions", ...}``.

orjson writes arrays without making Python objects of their elements, and a float32 with
its own shortest digits (0.1, not 0.10000000149). NaN and infinities become null, and
``"warnings"`` says so.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import orjson

from prism_core.fitting.jsonable import jsonable
from prism_core.plugin import Answer, ModelFailed

# An output that is called like one of these stands in "outputs" instead.
RESERVED = frozenset({"model", "version", "predictions", "classes", "warnings", "outputs"})

PLAIN = orjson.OPT_SERIALIZE_NUMPY
_ODD_KEYS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


def encode(answer: Answer) -> bytes:
    """Return the JSON body of an answer."""
    document = document_of(answer)
    body = dump(document)
    # Only a body that holds "null" can hide a NaN: looking for it is far cheaper than np.isfinite.
    if b"null" in body and (warnings := warnings_of(answer)):
        document["warnings"] = warnings
        return dump(document)
    return body


def document_of(answer: Answer) -> dict[str, Any]:
    """Return what is written for an answer, without warnings."""
    return _v1(answer) if answer.style == "v1" else _prism(answer)


def warnings_of(answer: Answer) -> list[str]:
    """Return what must be said of values that JSON cannot hold."""
    hidden = [name for name, tensor in answer.outputs.tensors.items() if _has_non_finite(tensor)]
    return [f"NaN or Infinity in {name!r} was written as null." for name in hidden]


def _prism(answer: Answer) -> dict[str, Any]:
    document: dict[str, Any] = {"model": answer.model, "version": answer.version}
    primary = answer.signature.predictions
    for name, tensor in answer.outputs.tensors.items():
        if name == primary:
            document["predictions"] = tensor
        elif name in RESERVED:
            document.setdefault("outputs", {})[name] = tensor
        else:
            document[name] = tensor
    if answer.signature.classes and _has_one_a_class(answer):
        document["classes"] = answer.signature.classes
    return document


def _has_one_a_class(answer: Answer) -> bool:
    width = len(answer.signature.classes)
    return any(
        name == "probabilities" or (name != answer.signature.predictions and _last_axis(tensor) == width)
        for name, tensor in answer.outputs.tensors.items()
    )


def _last_axis(tensor: Any) -> int:
    return tensor.shape[-1] if isinstance(tensor, np.ndarray) and tensor.ndim > 1 else 0


def _v1(answer: Answer) -> dict[str, Any]:
    tensors = answer.outputs.tensors
    primary = answer.signature.predictions
    return {"predictions": tensors[primary] if primary in tensors else next(iter(tensors.values()))}


def dump(document: dict[str, Any]) -> bytes:
    """Return the document as JSON."""
    try:
        return orjson.dumps(document, default=jsonable, option=PLAIN)
    except TypeError:  # for instance a map output, whose keys are integers, or a foreign byte order
        pass
    try:
        return orjson.dumps({k: _native(v) for k, v in document.items()}, default=jsonable, option=_ODD_KEYS)
    except TypeError as error:
        raise ModelFailed(
            f"The model's answer cannot be written as JSON: {error}.",
            hint="Ask for other outputs with ?outputs=, or for application/vnd.prism.tensors.",
        ) from None


def _native(value: Any) -> Any:
    if isinstance(value, np.ndarray) and not value.dtype.isnative:
        return value.astype(value.dtype.newbyteorder("="))
    return value


def _has_non_finite(value: Any) -> bool:
    if isinstance(value, np.ndarray) and value.dtype.kind != "O":
        return value.dtype.kind == "f" and not np.isfinite(value).all()
    if isinstance(value, dict):
        return any(map(_has_non_finite, value.values()))
    if isinstance(value, list | tuple | np.ndarray):
        return any(map(_has_non_finite, value))
    return isinstance(value, float | np.floating) and not math.isfinite(value)
