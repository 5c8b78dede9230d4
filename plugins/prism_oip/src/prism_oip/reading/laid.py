"""Where raw tensors lie behind JSON that was read before: then a body is read by making a view of each.

Only what the model takes as it comes is planned so; anything else, and all faults, are left to `rest`, which
must agree on whatever both understand.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
from msgspec import UNSET

from prism_core.plugin import LARGE_BYTES, Signature, TensorSpec
from prism_oip.parameters import REFUSED
from prism_oip.reading.document import Tensor
from prism_oip.reading.raw import NUMBERS

Array = np.ndarray[Any, Any]


@attrs.frozen
class Piece:
    """A tensor: ``count`` values of ``dtype`` from ``start`` on."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    start: int
    count: int


@attrs.frozen
class Plan:
    """The tensors of a request in the signature's order, and how many bytes they take."""

    pieces: tuple[Piece, ...]
    size: int


def plan_of(tensors: Sequence[Tensor], signature: Signature) -> Plan | None:
    """Return where the tensors lie, None unless the model takes each of them as it comes."""
    specs = {spec.name: spec for spec in signature.inputs}
    pieces: dict[str, Piece] = {}
    at = 0
    for tensor in tensors:
        spec = specs.get(tensor.name)
        if spec is None or not _fits(tensor, spec, signature):
            return None
        count = math.prod(tensor.shape)
        pieces[spec.name] = Piece(spec.name, spec.dtype, tuple(tensor.shape), at, count)
        at += count * spec.dtype.itemsize
    lengths = {piece.shape[0] for piece in pieces.values()} if signature.batch_axis else {1}
    if not len(pieces) == len(tensors) == len(specs) or len(lengths) != 1 or 0 in lengths:
        return None
    return Plan(tuple(pieces[name] for name in specs), at)


def _fits(tensor: Tensor, spec: TensorSpec, signature: Signature) -> bool:
    dtype = NUMBERS.get(spec.datatype)
    # Bools are looked at, as are missing values in columns.
    if tensor.datatype != spec.datatype or dtype is None or dtype != spec.dtype or dtype.kind == "b":
        return False
    if (signature.columnar and dtype.kind == "f") or tensor.data is not UNSET or not tensor.parameters:
        return False
    fits = len(tensor.shape) == len(spec.shape) and all(
        got >= 0 and want in (got, -1) for got, want in zip(tensor.shape, spec.shape, strict=True)
    )
    size = tensor.parameters.get("binary_data_size")
    plain = type(size) is int and tensor.parameters.keys().isdisjoint(REFUSED)
    return fits and plain and size == math.prod(tensor.shape) * dtype.itemsize


def read(plan: Plan, behind: memoryview) -> dict[str, Array] | None:
    """Return the tensors behind JSON; None if these are not as many bytes as it said."""
    if len(behind) != plan.size:
        return None
    arrays = {}
    for piece in plan.pieces:
        array = np.frombuffer(behind, piece.dtype, piece.count, piece.start).reshape(piece.shape)
        # As `fit` has it: where a small one lies must make no difference.
        whole = array.nbytes >= LARGE_BYTES and array.flags.aligned
        arrays[piece.name] = array if whole else array.copy()
    return arrays
