"""The tensor that typed contents mean, by the datatype and the shape that stand beside them."""

from __future__ import annotations

from typing import Any

import numpy as np

from prism_core.plugin import (
    NUMPY_TYPES,
    Faults,
    Limits,
    MalformedBody,
    Signature,
    TensorSpec,
    expected,
    placer,
    quote,
    quote_shape,
)
from prism_oip.reading.contents import FIELDS, TEXTS, gather
from prism_oip.reading.message import Tensor
from prism_oip.reading.raw import BF16, BYTES, unknown
from prism_oip.reading.shapes import count_of
from prism_oip.wire import Budget

Array = np.ndarray[Any, Any]

# Which field holds a datatype's values; FP16 and BF16 have none.
FIELD_OF = {
    "BOOL": 1,
    **dict.fromkeys(("INT8", "INT16", "INT32"), 2),
    "INT64": 3,
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), 4),
    "UINT64": 5,
    "FP32": 6,
    "FP64": 7,
    BYTES: TEXTS,
}
# As many values that a datatype does not have are told of one tensor.
TOLD = 100


def read(tensor: Tensor, signature: Signature, faults: Faults, limits: Limits, budget: Budget) -> Array:
    """Return the tensor of typed contents; values that its datatype does not have are noted in ``faults``.

    Raises
    ------
    MalformedBody
        If datatype, shape and contents do not belong together.
    PayloadTooLarge
        If it holds more values, made one by one, than the server takes.
    """
    count = count_of(tensor.name, tensor.shape)
    wanted = _field_of(tensor)
    contents = gather(tensor.name, tensor.contents, faults, limits, budget)
    for number in contents.filled:
        if number != wanted:
            raise MalformedBody(
                f"Input {quote(tensor.name)} is {tensor.datatype}, whose values stand in {_name(wanted)}, "
                f"not in {_name(number)}."
            )
    values = contents.array(wanted)
    if len(values) != count:
        raise MalformedBody(
            f"Input {quote(tensor.name)} of the shape {quote_shape(tensor.shape)} takes {quote(count)} "
            f"values, its {_name(wanted)} has {len(values)}."
        )
    return _narrowed(values.reshape(tensor.shape), tensor, signature, faults)


def _field_of(tensor: Tensor) -> int:
    if number := FIELD_OF.get(tensor.datatype):
        return number
    if tensor.datatype in (*NUMPY_TYPES, BF16):
        raise MalformedBody(
            f"Input {quote(tensor.name)} is {tensor.datatype}, for which there are no typed contents.",
            hint="Send all tensors in raw_input_contents, or this one's values as FP32.",
        )
    raise unknown(tensor.name, tensor.datatype)


def _name(number: int) -> str:
    return "bytes_contents" if number == TEXTS else FIELDS[number].name


def _narrowed(values: Array, tensor: Tensor, signature: Signature, faults: Faults) -> Array:
    """Return values in the type of their datatype, of which some share a field."""
    dtype = NUMPY_TYPES[tensor.datatype]
    if values.dtype.itemsize <= dtype.itemsize:
        return values
    narrow = values.astype(dtype)
    if (bad := narrow != values).any():
        said = TensorSpec(tensor.name, tensor.datatype, tensor.shape)
        place = placer(signature.input(tensor.name) or said, signature)
        found = np.argwhere(bad)
        for index in found[:TOLD]:
            at = tuple(map(int, index))
            faults.add(*place(at), expected(said), quote(values[at]))
        faults.count += max(0, len(found) - TOLD)
    return narrow
