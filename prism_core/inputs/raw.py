"""``application/octet-stream``: the bytes of one array, little-endian, the last axis quickest.

``shape`` (``1,3,224,224``) and ``dtype`` (``float32`` or ``FP32``) stand in the query or in
the media type; left out, they are the signature's, and the number of rows follows from
the length of the body.
"""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np

from prism_core.fitting.faults import quote, quote_shape
from prism_core.fitting.fit import fit_only, stays
from prism_core.inputs.npy import primary
from prism_core.inputs.pieces import Steps
from prism_core.plugin import (
    Answer,
    Batch,
    InvalidInput,
    MalformedBody,
    NotAcceptable,
    Request,
    Signature,
    TensorSpec,
)
from prism_core.types import NUMPY_TYPES

DTYPES = {name: dtype for name, dtype in NUMPY_TYPES.items() if dtype.kind != "O"}
BY_NAME = {**DTYPES, **{dtype.name: dtype for dtype in DTYPES.values()}}
HINT = "For instance ?shape=1,4&dtype=float32."


def normalize(body: memoryview, signature: Signature, request: Request) -> Batch:
    """Return the batch of the one array whose bytes are ``body``.

    Raises
    ------
    InvalidInput
        If shape and dtype cannot be had or read, or the array does not fit.
    MalformedBody
        If the body has another length.
    """
    dtype = _dtype(request.parameters.get("dtype", ""), signature)
    if len(body) % dtype.itemsize:
        raise MalformedBody(
            f"The body has {len(body)} bytes, no multiple of {dtype.itemsize} ({dtype.name})."
        )
    shape = _shape(request.parameters.get("shape", ""), signature, len(body) // dtype.itemsize)
    if math.prod(shape) * dtype.itemsize != len(body):
        needed = math.prod(shape) * dtype.itemsize
        raise MalformedBody(
            f"Shape {quote_shape(shape)} of {dtype.name} takes {quote(needed)} bytes, "
            f"the body has {len(body)}.",
            hint=HINT,
        )
    array: np.ndarray[Any, Any] = np.frombuffer(body, dtype.newbyteorder("<"))
    if dtype.kind == "b" and (array.view(np.uint8) > 1).any():
        raise MalformedBody("The body holds bytes that are neither 0 nor 1; they are no bool.")
    try:
        return fit_only(array.reshape(shape), signature, "application/octet-stream")
    except ValueError:
        raise InvalidInput(f"No array has the shape {quote_shape(shape)}.", hint=HINT) from None


def normalize_steps(body: memoryview, signature: Signature, request: Request) -> Steps:
    """As `normalize`, where the array is a view of the body; None: its values have to be converted."""
    dtype = _dtype(request.parameters.get("dtype", ""), signature)
    return normalize(body, signature, request) if stays([dtype], signature) else None
    yield


def _dtype(name: str, signature: Signature) -> np.dtype[Any]:
    if not name:
        dtypes = {spec.dtype for spec in signature.inputs}
        if len(dtypes) == 1 and (dtype := dtypes.pop()).kind != "O":
            return dtype
        raise InvalidInput(
            "The model's inputs are not of one number type; `dtype` must say what is sent.", hint=HINT
        )
    named = BY_NAME.get(name, BY_NAME.get(name.upper()))
    if named is None:
        raise InvalidInput(f"dtype {quote(name)} is unknown; known: {', '.join(DTYPES)}.", hint=HINT)
    return named


def _shape(text: str, signature: Signature, values: int) -> tuple[int, ...]:
    if text:
        sizes = text.strip("()[] ").replace("x", ",").split(",")
        if len(sizes) <= 32 and all(size.strip().isdecimal() and len(size) < 20 for size in sizes):
            return tuple(int(size) for size in sizes)
        raise InvalidInput(f"shape {quote(text)} is not a list of lengths.", hint=HINT)
    if signature.columnar:
        width = len(signature.inputs)
        return (values // width, width)
    return _filled(signature.inputs[0], values)


def _filled(spec: TensorSpec, values: int) -> tuple[int, ...]:
    """Return the tensor's shape, its one free axis as long as ``values`` make it."""
    free = [at for at, size in enumerate(spec.shape) if size < 0]
    known = math.prod(size for size in spec.shape if size >= 0)
    if not free:
        return spec.shape
    if len(free) > 1 or not known:
        raise InvalidInput(
            f"Input {spec.name!r} has the open shape {spec.shape}; `shape` must say it.", hint=HINT
        )
    return tuple(values // known if size < 0 else size for size in spec.shape)


def encode(answer: Answer) -> bytes:
    """Return the bytes of the primary output, little-endian.

    Raises
    ------
    NotAcceptable
        If it is no array of numbers.
    """
    array = primary(answer)
    if array.dtype.kind == "U":
        raise NotAcceptable(
            "The primary output is text, which has no raw bytes.", hint="Ask for JSON or text/csv."
        )
    if array.dtype.byteorder == ">" or (array.dtype.byteorder == "=" and sys.byteorder == "big"):
        array = array.astype(array.dtype.newbyteorder("<"))
    return array.tobytes()
