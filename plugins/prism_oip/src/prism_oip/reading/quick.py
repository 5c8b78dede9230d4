"""The quick way for JSON: one typed decoder for each signature, made once.

It takes requests whose inputs have the model's own datatypes, and all values in JSON: most of them. Any
other, and all faults, are None here and left to `rest`, which must agree on whatever both understand.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache, reduce
from operator import or_
from typing import Annotated, Any, Literal, Union

import msgspec
import numpy as np

from prism_core.plugin import MISFITS, Signature, TensorSpec, has_shape, leaf, to_rank
from prism_oip.parameters import REFUSED
from prism_oip.reading.asked import Output
from prism_oip.reading.shapes import MAX_AXES

Array = np.ndarray[Any, Any]
_SPECIAL = {"binary_data_size", *REFUSED}
# The product of a million lengths would keep a core busy for minutes.
Shape = Annotated[list[Annotated[int, msgspec.Meta(ge=0)]], msgspec.Meta(max_length=MAX_AXES)]


def read(head: memoryview, signature: Signature) -> tuple[Any, dict[str, Array]] | None:
    """Return what ``head`` says, and tensors that fit the signature; or None."""
    decode, specs = compiled(signature)
    arrays: dict[str, Array] = {}
    try:
        said = decode(head)
        if len(said.inputs) != len(signature.inputs):
            return None
        for tensor in said.inputs:
            spec = specs[type(tensor)]
            array = _array(tensor, spec, signature.batch_axis)
            if array is None or (tensor.parameters and not is_plain(tensor.parameters)):
                return None
            arrays[spec.name] = array
    except MISFITS:
        return None
    if len(arrays) < len(signature.inputs) or (signature.batch_axis and not _agree(arrays)):
        return None
    return said, {spec.name: arrays[spec.name] for spec in signature.inputs} if len(arrays) > 1 else arrays


def is_plain(parameters: Mapping[str, Any]) -> bool:
    """Whether a tensor's parameters say nothing about where its values are, nor ask for what is not here."""
    return parameters.keys().isdisjoint(_SPECIAL)


def _array(tensor: Any, spec: TensorSpec, batch_axis: bool) -> Array | None:
    array = np.array(tensor.data, spec.dtype)
    shape = tuple(tensor.shape)
    if batch_axis and shape[1:] == (1,) and len(spec.shape) == 1:
        shape = shape[:1]  # a column, as most clients send it; `to_rank` would say the same
    if array.shape != shape:
        if array.ndim != 1 or array.size != math.prod(shape):
            return None
        array = array.reshape(shape)
    if len(shape) != len(spec.shape):
        array = to_rank(array, spec, batch_axis)
    return array if has_shape(array, spec.shape) else None


def _agree(arrays: Mapping[str, Array]) -> bool:
    lengths = {len(array) for array in arrays.values()}
    return len(lengths) == 1 and 0 not in lengths


@lru_cache(maxsize=256)
def compiled(signature: Signature) -> tuple[Callable[[Any], Any], Mapping[Any, TensorSpec]]:
    """Return what decodes a request, and whose the types of its inputs are."""
    try:
        one = len(signature.inputs) == 1
        kinds = {(_only(spec) if one else _tensor(spec)): spec for spec in signature.inputs}
        return msgspec.json.Decoder(_document(reduce(or_, kinds))).decode, kinds
    except (TypeError, ValueError):  # msgspec takes no such type, for instance a name with a quote in it
        return _nothing, {}


def _nothing(head: memoryview) -> Any:
    raise ValueError("no type says what this signature takes")


def _document(tensor: Any) -> Any:
    fields: Any = [
        ("inputs", list[tensor]),
        ("id", str | None, None),
        ("outputs", list[Output] | None, None),
        ("parameters", dict[str, Any] | None, None),
    ]
    return msgspec.defstruct("Quick", fields)


def _tensor(spec: TensorSpec) -> Any:
    """Return the type of an input; its name tells it from the others."""
    return msgspec.defstruct("Input", _fields(spec), tag_field="name", tag=spec.name)


def _only(spec: TensorSpec) -> Any:
    """Return the type of the only input; a tag may be missing where there is nothing to tell apart."""
    name: Any = ("name", Literal[spec.name])
    return msgspec.defstruct("Input", [name, *_fields(spec)])


def _fields(spec: TensorSpec) -> Any:
    return [
        ("shape", Shape),
        ("datatype", Literal[spec.datatype]),
        ("data", _nested(leaf(spec.datatype, spec.nullable), len(spec.shape))),
        ("parameters", dict[str, Any] | None, None),
    ]


def _nested(kind: Any, rank: int) -> Any:
    """Return the type of lists of values, flat or ``rank`` deep."""
    found: Any = list[kind]
    for _ in range(rank - 1):
        found = list[Union[kind, found]]  # noqa: UP007 - values here, of which not all can be joined by |
    return found
