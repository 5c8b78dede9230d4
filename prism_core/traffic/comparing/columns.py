"""An answer's outputs as columns of rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

# By output: its rows. Something that is no list is one row.
Columns = dict[str, list[Any]]


class Unreadable(Exception):
    """Why a body cannot be read."""


def rows_of(values: list[Any], shape: Sequence[int]) -> list[Any]:
    """Return flat ``values`` as rows of a tensor of ``shape``, without what its last row lacks.

    The axes behind the first are one: two tensors of the same output differ in them only where its
    width differs too, but for odd models.
    """
    if len(shape) < 2:
        return values
    width = math.prod(shape[1:])
    if not width:
        return [()] * min(shape[0], 1)
    return [values[at : at + width] for at in range(0, len(values) - width + 1, width)]
