"""``application/vnd.prism.tensors``: named arrays; `prism_core.fitting.tensors` has the bytes."""

from __future__ import annotations

import math

import numpy as np

from prism_core.fitting.fit import STRINGS, fit, stays
from prism_core.fitting.tensors import header_of, pack, unpack
from prism_core.inputs.pieces import Steps
from prism_core.plugin import Answer, Batch, InvalidInput, Limits, Request, Signature
from prism_core.types import NUMPY_TYPES


def normalize(body: memoryview, signature: Signature, request: Request) -> Batch:
    """Return the batch in ``body``; numbers that have the model's types already are not copied.

    Raises
    ------
    MalformedBody
        If the body is cut short, too long, or says something impossible.
    InvalidInput
        If the tensors do not fit the signature.
    PayloadTooLarge
        If they hold more texts than the server takes values.
    """
    _check_texts(body, request.limits)
    batch = unpack(body)
    if lists := [name for name, tensor in batch.tensors.items() if not isinstance(tensor, np.ndarray)]:
        raise InvalidInput(f"Tensor {lists[0]!r} is of datatype JSON, which no input is.")
    return fit(batch.tensors, signature, batch.outputs, batch.parameters)


def _check_texts(body: memoryview, limits: Limits) -> None:
    """Refuse a body that holds more texts than values are taken; numbers are views of it."""
    if len(body) >= limits.max_values:
        texts = [entry.shape for entry in header_of(body)[0].tensors if entry.datatype == "BYTES"]
        limits.check_values(sum(map(math.prod, texts)))


def normalize_steps(body: memoryview, signature: Signature, request: Request) -> Steps:
    """As `normalize`, where the arrays are views of the body; None: their values have to be converted."""
    dtypes = [NUMPY_TYPES.get(entry.datatype, STRINGS) for entry in header_of(body)[0].tensors]
    return normalize(body, signature, request) if stays(dtypes, signature) else None
    yield


def encode(answer: Answer) -> bytes:
    """Return all outputs under their own names."""
    return pack(answer.outputs)
