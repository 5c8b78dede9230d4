"""Values in JSON -> an array, by the datatype and the shape that stand beside them.

They are flat, row by row, or nested as the shape is. Good ones never meet a Python loop; whatever else
comes is looked at value by value, so that all that is wrong with it is told.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np

from prism_core.plugin import (
    MISFITS,
    NUMPY_TYPES,
    Faults,
    InvalidInput,
    Limits,
    MalformedBody,
    Signature,
    TensorSpec,
    array_of,
    leaf,
    nested,
    placer,
    quote,
    quote_shape,
)
from prism_oip.reading.document import Tensor, no_json
from prism_oip.reading.raw import BF16, unknown
from prism_oip.reading.shapes import MAX_AXES, count_of

Array = np.ndarray[Any, Any]

_NESTED = re.compile(rb"\[[ \t\n\r]*\[")


def read(tensor: Tensor, signature: Signature, faults: Faults, limits: Limits) -> Array | None:
    """Return the tensor whose values are JSON; None where ``faults`` have what is wrong with them.

    Raises
    ------
    MalformedBody
        If datatype, shape and values do not belong together.
    """
    if tensor.datatype not in NUMPY_TYPES:
        raise _no_type(tensor)
    spec = signature.input(tensor.name)
    nullable = spec is not None and spec.nullable
    shape = tuple(tensor.shape)
    array = quick(tensor.data, tensor.datatype, nullable, shape)
    if array is not None:
        return array
    count_of(tensor.name, shape)
    said = TensorSpec(tensor.name, tensor.datatype, shape, nullable)
    return _carefully(tensor.data, said, spec or said, signature, faults, limits)


def quick(data: Any, datatype: str, nullable: bool, shape: tuple[int, ...]) -> Array | None:
    """Return the array of good values, None for whatever needs a closer look."""
    if len(shape) > MAX_AXES:  # the product of a million lengths would keep a core busy for minutes
        return None
    try:
        if _NESTED.match(data):
            array = np.array(decoder(datatype, nullable, len(shape))(data), NUMPY_TYPES[datatype])
            return array if array.shape == shape else None
        array = np.array(decoder(datatype, nullable, 1)(data), NUMPY_TYPES[datatype])
        fills = math.prod(shape) == array.size and min(shape, default=0) >= 0
        return array.reshape(shape) if fills else None
    except MISFITS:
        return None


@lru_cache(maxsize=1024)  # more than there are datatypes and depths
def decoder(datatype: str, nullable: bool, depth: int) -> Callable[[Any], Any]:
    """Return what decodes lists, ``depth`` deep, of a datatype's values."""
    return msgspec.json.Decoder(nested(leaf(datatype, nullable), depth)).decode


def _no_type(tensor: Tensor) -> MalformedBody:
    if tensor.datatype == BF16:
        return MalformedBody(
            f"Input {quote(tensor.name)} is BF16 in JSON.", hint="Send it raw, or its values as FP32."
        )
    return unknown(tensor.name, tensor.datatype)


def _carefully(
    data: Any,
    said: TensorSpec,
    spec: TensorSpec,
    signature: Signature,
    faults: Faults,
    limits: Limits,
) -> Array | None:
    value = _decoded(data, said.name, limits)
    depth = _depth(value)
    if not 0 < depth <= MAX_AXES:
        raise MalformedBody(f'"data" of input {quote(said.name)} is {quote(value)}, not a list of values.')
    named = _Named(faults, said.name)
    place = _flat_place(placer(spec, signature), said.shape) if depth == 1 else placer(spec, signature)
    array = array_of(value, said, (-1,) * depth, named, place)
    return None if array is None else _shaped(array, said)


def _decoded(data: Any, name: str, limits: Limits) -> Any:
    try:
        value = msgspec.json.decode(data)
    except msgspec.ValidationError as error:  # untyped, only a number beyond all doubles
        raise InvalidInput(f"Input {quote(name)} holds a number that no double can hold: {error}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise no_json(f'"data" of input {quote(name)}', error) from None
    except RecursionError:
        raise limits.too_deep() from None
    limits.check_depth(value)
    return value


def _depth(value: Any) -> int:
    """Return how deep the lists are nested, by the first of each."""
    depth = 0
    while isinstance(value, list):
        depth += 1
        value = value[0] if value else None
    return depth


def _shaped(array: Array, said: TensorSpec) -> Array:
    """Return values in the shape that is said; theirs may differ in axes of length 1."""
    lengths = [axis for axis in array.shape if axis != 1]
    same = array.ndim == 1 or lengths == [axis for axis in said.shape if axis != 1]
    if not same or array.size != count_of(said.name, said.shape):
        raise MalformedBody(
            f"Input {quote(said.name)} is said to have the shape {quote_shape(said.shape)}, "
            f"its values have {quote_shape(array.shape)}."
        )
    return array.reshape(said.shape)


def _flat_place(place: Callable[..., Any], shape: tuple[int, ...]) -> Callable[..., Any]:
    """Return ``place`` for an index into flat values."""

    def unravelled(index: tuple[int, ...]) -> Any:
        at = index[0] if index else 0
        return place(tuple(map(int, np.unravel_index(at, shape))) if at < math.prod(shape) else (at,))

    return unravelled


class _Named(Faults):
    """The faults of one tensor: what belongs to a whole row tells at least whose."""

    def __init__(self, faults: Faults, name: str) -> None:
        super().__init__()
        self._all, self._name = faults, name

    def add(self, row: int, column: str | int, expected: str, got: str, hint: str = "") -> None:
        """Note it with all others."""
        self._all.add(row, self._name if column == "" else column, expected, got, hint)
