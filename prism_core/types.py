"""What flows through a model: tensors by name, and the promise that describes them.

Strings are numpy object arrays of ``str`` (datatype ``BYTES``, as the Open Inference
Protocol calls it); a missing value is NaN in floats and None in strings.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import msgspec
import numpy as np

# Open Inference Protocol v2 datatypes <-> numpy.
NUMPY_TYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BYTES": np.dtype(object),
}
# A signature with more ranges than this is longer than anybody reads, and every look sends it.
_MAX_RANGES = 1024
_NAMES = {dtype: name for name, dtype in NUMPY_TYPES.items()}


def datatype_of(dtype: np.dtype[Any]) -> str:
    """Return the datatype of a numpy dtype: ``float32`` is ``FP32``, any string is ``BYTES``."""
    if dtype.kind in "USO":
        return "BYTES"
    return _NAMES[dtype.newbyteorder("=")]


@attrs.frozen(cache_hash=True)
class TensorSpec:
    """One named tensor of a signature.

    Parameters
    ----------
    name
        The tensor's name; for column models the column's name.
    datatype
        An Open Inference Protocol datatype: ``BOOL``, ``INT64``, ``FP32``, ``BYTES`` ...
    shape
        Axis lengths, -1 for any. In a signature with ``batch_axis`` the first axis is rows.
    nullable
        Whether a missing value (null) is allowed; it arrives as NaN or None.
    columns
        Names of the last axis, where they are known: rows may then be records.
    categories
        The values that the model was trained on, where they are known. Informative:
        others are passed to the model, which decides.
    ranges
        Lowest and highest number that the model was trained on or tells apart: one pair for all
        values of the tensor, or one for each place of the last axis, None where it is not known.
        Informative as categories are.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    nullable: bool = False
    columns: tuple[str, ...] = ()
    categories: tuple[Any, ...] = ()
    ranges: tuple[tuple[float, float] | None, ...] = ()

    def __attrs_post_init__(self) -> None:
        # msgspec fills the fields without attrs' __init__ and so forgets the one of cache_hash.
        object.__setattr__(self, "_attrs_cached_hash", None)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The numpy dtype of the tensor; ``object`` for strings."""
        return NUMPY_TYPES[self.datatype]

    def range_of(self, place: int = 0) -> tuple[float, float] | None:
        """Return the known range of the values at ``place`` of the last axis."""
        return self.ranges[place if len(self.ranges) > 1 else 0] if self.ranges else None


def told_ranges(
    known: Mapping[int, tuple[float, float]], places: int
) -> tuple[tuple[float, float] | None, ...]:
    """Return `TensorSpec.ranges` of a tensor with ``places`` from what is ``known`` of some of them.

    Numbers are rounded to what a person reads; where all are alike one is enough. Too many of them would
    weigh more than they tell: then there are none.
    """
    told = [_readable(*known[place]) if place in known else None for place in range(places)]
    if not any(told):
        return ()
    if len(set(told)) == 1:
        return (told[0],)
    return tuple(told) if places <= _MAX_RANGES else ()


def _readable(low: float, high: float) -> tuple[float, float] | None:
    """Return a range in three digits of its width; whole numbers stay whole. One number is none."""
    width = high - low
    if not (math.isfinite(width) and width > 0):
        return None
    digits = max(0, 3 - math.floor(math.log10(width)))
    return round(float(low), digits), round(float(high), digits)


@attrs.frozen(cache_hash=True)  # normalizers keep what they compiled for a signature
class Signature:
    """What a model takes and answers.

    Parameters
    ----------
    inputs, outputs
        The tensors. ``outputs`` lists all that a request may ask for.
    default_outputs
        The outputs computed when the request names none; () means all of them.
    columnar
        Every input is one named column of shape ``(rows,)`` or ``(rows, 1)``: a row is a record.
    batch_axis
        Whether the first axis of every tensor is rows, so requests may be joined. A model
        without it executes each request alone, with shapes exactly as given.
    classes
        Class labels, in the order of the probability columns.
    primary
        The output that a response calls ``predictions``; "" means the first default output.
    deterministic
        Equal inputs give equal outputs. Where not, answers are neither kept nor retried,
        whatever the loader says of its models in general.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    default_outputs: tuple[str, ...] = ()
    columnar: bool = False
    batch_axis: bool = True
    classes: tuple[Any, ...] = ()
    primary: str = ""
    deterministic: bool = True

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "_attrs_cached_hash", None)  # as in TensorSpec

    def input(self, name: str) -> TensorSpec | None:
        """Return the input called ``name``, or None."""
        return next((spec for spec in self.inputs if spec.name == name), None)

    @property
    def computed(self) -> tuple[str, ...]:
        """The outputs of a request that asks for nothing in particular."""
        return self.default_outputs or tuple(spec.name for spec in self.outputs)

    @property
    def predictions(self) -> str:
        """The name of the output that a response calls ``predictions``."""
        return self.primary or self.computed[0]


class Batch(msgspec.Struct, frozen=True, eq=False):  # several a request: a third of an attrs class's time
    """Tensors by name, on their way into a model or out of it.

    Parameters
    ----------
    tensors
        Arrays by name, each with the same length of the first axis where the signature
        has a batch axis. Sequence and map outputs may be lists.
    outputs
        On the way in: the outputs that the request asks for, () for the default.
    parameters
        On the way in: request parameters that change the computation.
    reply
        On the way in: what only the encoder of the answer asks for, an id to be echoed for instance.
        Requests that differ in it are computed together all the same.
    """

    tensors: Mapping[str, Any]
    outputs: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = {}
    reply: Any = None

    def __getitem__(self, name: str) -> Any:
        return self.tensors[name]

    @property
    def rows(self) -> int:
        """Length of the first axis; 1 for a batch without one."""
        for tensor in self.tensors.values():
            return len(tensor) if not isinstance(tensor, np.ndarray) or tensor.ndim else 1
        return 0


def concatenate(batches: Sequence[Batch]) -> Batch:
    """Join batches of one kind along the rows; outputs and parameters are the first one's."""
    first = batches[0]
    if len(batches) == 1:
        return first
    tensors = {name: np.concatenate([b.tensors[name] for b in batches]) for name in first.tensors}
    return Batch(tensors, first.outputs, first.parameters)


def rows_of(batch: Batch, start: int, stop: int) -> Batch:
    """Return rows ``start:stop`` as views."""
    return Batch({k: v[start:stop] for k, v in batch.tensors.items()}, batch.outputs, batch.parameters)
