"""A body that is one raw tensor and nothing else: the signature and the size say what it is."""

from __future__ import annotations

import math

from prism_core.plugin import InvalidInput, Signature, TensorSpec
from prism_oip.reading.raw import BYTES, NUMBERS

HINT = "Send JSON before it, and its length as Inference-Header-Content-Length."


def spec_of(signature: Signature) -> TensorSpec:
    """Return the one input of the model.

    Raises
    ------
    InvalidInput
        If it has several.
    """
    if len(signature.inputs) > 1:
        raise InvalidInput(
            f"A raw body holds one tensor, the model takes {len(signature.inputs)}.", hint=HINT
        )
    return signature.inputs[0]


def shape_of(spec: TensorSpec, size: int, *, batch_axis: bool) -> tuple[int, ...]:
    """Return the shape of a body of ``size`` bytes: its one open axis is as long as they make it.

    Where another axis is open too there is one row, as Triton has it. All bytes are one element of BYTES.

    Raises
    ------
    InvalidInput
        If more than one axis stays open.
    """
    shape = spec.shape
    if batch_axis and shape.count(-1) > 1 and shape[0] < 0:
        shape = (1, *shape[1:])
    known = math.prod(axis for axis in shape if axis >= 0)
    if shape.count(-1) > 1 or (-1 in shape and not known):
        raise InvalidInput(f"Input {spec.name!r} has the open shape {list(spec.shape)}.", hint=HINT)
    values = 1 if spec.datatype == BYTES else size // NUMBERS[spec.datatype].itemsize
    return tuple(values // known if axis < 0 else axis for axis in shape)
