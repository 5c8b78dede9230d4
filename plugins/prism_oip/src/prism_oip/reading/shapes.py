"""How many values a shape holds, where it can be one."""

from __future__ import annotations

import math
from collections.abc import Sequence

from prism_core.plugin import MalformedBody, quote, quote_shape

# numpy's, before its second version.
MAX_AXES = 32
# Beyond it no size of a tensor fits into what everybody counts with.
MAX_COUNT = 2**63 - 1


def count_of(name: str, shape: Sequence[int]) -> int:
    """Return the number of values of an input's shape.

    Raises
    ------
    MalformedBody
        If no array has it.
    """
    if len(shape) > MAX_AXES:
        raise MalformedBody(f"Input {quote(name)} has {len(shape)} axes; at most {MAX_AXES} are read.")
    if shape and min(shape) < 0:
        raise MalformedBody(
            f"Input {quote(name)} has the shape {quote_shape(shape)}.",
            hint="A request says the length of each axis; -1 stands in a model's metadata alone.",
        )
    count = math.prod(shape)
    if count > MAX_COUNT or (not count and math.prod(filter(None, shape)) > MAX_COUNT):
        raise MalformedBody(f"Input {quote(name)} has the shape {quote_shape(shape)}, which nothing fills.")
    return count
