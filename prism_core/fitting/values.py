"""Turn decoded JSON values into arrays, losslessly or not at all.

Good values never meet a Python loop: `msgspec.convert` checks all of them in C against
the type that `leaf` describes. Only when it refuses, `_Walk` visits them one by one, to
find what is wrong, or that a value is fine after all (``3.0`` for an integer).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Annotated, Any

import msgspec
import numpy as np

from prism_core.fitting.faults import Faults, expected, quote
from prism_core.types import TensorSpec

# Above it not every integer has a double of its own. Decoders make doubles of integers
# without telling, so a number from here on is looked at by `scalar`.
EXACT = 2.0**53
INT64_MAX = 2**63 - 1

# What the quick ways raise for a value that needs a closer look.
MISFITS = (ValueError, OverflowError, TypeError, RecursionError, msgspec.MsgspecError)

# A cell that is known to be missing: its fault has been noted already.
ABSENT = object()

Place = Callable[[tuple[int, ...]], tuple[int, str | int]]


class Misfit(Exception):
    """A value that a tensor cannot hold; the text says why, where its look does not."""


@lru_cache(maxsize=64)
def leaf(datatype: str, nullable: bool) -> Any:
    """Return the type with which msgspec checks one value of a tensor."""
    dtype = TensorSpec("", datatype, ()).dtype
    kind: Any
    if dtype.kind == "f":
        bound = min(EXACT, float(np.finfo(dtype).max))
        kind = Annotated[float, msgspec.Meta(gt=-bound, lt=bound)]
    elif dtype.kind in "iu":
        info = np.iinfo(dtype)
        # msgspec takes no bound beyond int64; numpy itself refuses what is too large for uint64.
        most = int(info.max) if info.max <= INT64_MAX else None
        kind = Annotated[int, msgspec.Meta(ge=int(info.min), le=most)]
    else:
        kind = bool if dtype.kind == "b" else str
    return kind | None if nullable and dtype.kind in "fO" else kind


def nested(kind: Any, depth: int) -> Any:
    """Return the type of lists of lists ... of ``kind``."""
    for _ in range(depth):
        kind = list[kind]
    return kind


def scalar(value: Any, spec: TensorSpec) -> Any:
    """Return ``value`` as ``spec`` holds it.

    Raises
    ------
    Misfit
        If it would be changed: wrong kind, out of range, or not exact.
    """
    kind = spec.dtype.kind
    if value is None and spec.nullable and kind in "fO":
        return None
    if kind == "O" and isinstance(value, str):
        return value
    if kind == "b" and isinstance(value, bool):
        return value
    if kind in "iuf" and isinstance(value, int | float) and not isinstance(value, bool):
        return _real(value, spec.dtype) if kind == "f" else _integer(value, spec.dtype)
    raise Misfit


def _real(value: float, dtype: np.dtype[Any]) -> float:
    if isinstance(value, int) and abs(value) > EXACT and not _has_double(value):
        raise Misfit("too many digits to be exact")
    if abs(value) > float(np.finfo(dtype).max):
        raise Misfit("out of range")
    return float(value)


def _has_double(value: int) -> bool:
    try:
        return int(float(value)) == value
    except OverflowError:
        return False


def _integer(value: float, dtype: np.dtype[Any]) -> int:
    if value != value or value in (math.inf, -math.inf):
        raise Misfit
    if not np.iinfo(dtype).min <= value <= np.iinfo(dtype).max:
        raise Misfit("out of range")
    if int(value) != value:
        raise Misfit
    return int(value)


def array_of(value: Any, spec: TensorSpec, shape: tuple[int, ...], faults: Faults, place: Place) -> Any:
    """Return ``value``, lists of lists ... of scalars, as an array of ``shape`` (-1: any length).

    Returns None when something is wrong with it; what that is stands in ``faults``, at the
    row and column that ``place`` gives for an index.
    """
    try:
        plain = msgspec.convert(value, nested(leaf(spec.datatype, spec.nullable), len(shape)))
        array = np.array(plain, dtype=spec.dtype)
        if has_shape(array, shape):
            return array
    except MISFITS:
        pass
    walk = _Walk(spec, shape, faults, place)
    plain = walk.value(value, ())
    if walk.failed:
        return None
    return np.array(plain, dtype=spec.dtype).reshape([length or 0 for length in walk.lengths])


def has_shape(array: np.ndarray[Any, Any], shape: tuple[int, ...]) -> bool:
    """Whether ``array`` has ``shape``, where -1 stands for any length."""
    found = array.shape
    if len(found) != len(shape):
        return False
    for want, got in zip(shape, found):  # noqa: B905, SIM110 - a third of the time of `all`, for each request
        if want not in (got, -1):
            return False
    return True


class _Walk:
    """One visit of every value, noting what does not fit."""

    def __init__(self, spec: TensorSpec, shape: tuple[int, ...], faults: Faults, place: Place) -> None:
        self.spec, self.faults, self.place = spec, faults, place
        # An axis of free length is as long as the first list that was seen on it.
        self.lengths = [None if size < 0 else size for size in shape]
        self.failed = False  # also by what is absent, which somebody else has reported already

    def value(self, value: Any, index: tuple[int, ...]) -> Any:
        if len(index) == len(self.lengths):
            return self.scalar(value, index)
        if not isinstance(value, list | tuple):
            self.failed = True
            if value is not ABSENT:
                self.fault(index, "a list", quote(value))
            return None
        self.length(len(value), index)
        return [self.value(one, (*index, i)) for i, one in enumerate(value)]

    def scalar(self, value: Any, index: tuple[int, ...]) -> Any:
        try:
            return scalar(value, self.spec)
        except Misfit as misfit:
            self.failed = True
            if value is not ABSENT:
                why = f" ({misfit})" if misfit.args else ""
                self.fault(index, expected(self.spec), quote(value) + why)
            return None

    def length(self, length: int, index: tuple[int, ...]) -> None:
        known = self.lengths[len(index)]
        if known is None:
            self.lengths[len(index)] = length
        elif length != known:
            what = "rows" if not index else "values"
            row = index[0] if index else 0
            self.failed = True
            self.faults.add(row, "", f"{known} {what}", f"{length} {what}")

    def fault(self, index: tuple[int, ...], wanted: str, got: str) -> None:
        row, column = self.place(index)
        self.faults.add(row, column, wanted, got)
