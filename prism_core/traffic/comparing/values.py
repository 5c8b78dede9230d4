"""Whether two values of a row agree: labels, numbers within a tolerance, probabilities by the likeliest.

A value is what JSON can say: a scalar, or lists and objects of such.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, TypeGuard

import attrs
import msgspec

NESTED = (list, tuple, dict)
# How far the sum of what is taken for probabilities may be from 1: of thousands in half precision.
SUM = 0.01


class Tolerance(msgspec.Struct, frozen=True):
    """How far two numbers may be apart and agree all the same.

    They do where their distance is at most ``absolute``, or at most ``relative`` times the larger of both.
    """

    absolute: float = 1e-6
    relative: float = 0.01

    def allows(self, one: float, other: float) -> bool:
        """Return whether two numbers agree; NaN does with NaN."""
        if one != one or other != other:
            return one != one and other != other
        return math.isclose(one, other, rel_tol=self.relative, abs_tol=self.absolute)


@attrs.frozen
class Pair:
    """How two values of a row compare.

    Parameters
    ----------
    agrees
        Whether the row agrees in them.
    apart
        The largest distance of two numbers in them.
    kind
        ``label``, ``number``, ``probabilities``; ``shape`` where there is nothing to compare.
    """

    agrees: bool
    apart: float = 0.0
    kind: str = "label"


def pair(live: Any, other: Any, tolerance: Tolerance) -> Pair:
    """Compare two values; the same where they are exchanged."""
    if is_number(live) and is_number(other):
        if isinstance(live, float) or isinstance(other, float):
            return Pair(tolerance.allows(live, other), distance(live, other), "number")
        return Pair(live == other)
    if not (isinstance(live, NESTED) or isinstance(other, NESTED)):
        return Pair(_same(live, other))
    if are_floats(live) and are_floats(other):
        return _vectors(live, other, tolerance)
    return _nested(dict(leaves(live)), dict(leaves(other)), tolerance)


def _vectors(live: Sequence[float], other: Sequence[float], tolerance: Tolerance) -> Pair:
    """Compare rows of floats, as `_nested` would: such are most of what is nested, and may be wide."""
    if len(live) != len(other):
        return Pair(False, kind="shape")
    if are_probabilities(live) and are_probabilities(other):
        return Pair(likeliest(live) == likeliest(other), _apart(live, other), "probabilities")
    apart = _apart(live, other)
    return Pair(all(map(tolerance.allows, live, other)), apart, "number")


def _nested(ours: dict[str, Any], theirs: dict[str, Any], tolerance: Tolerance) -> Pair:
    if ours.keys() != theirs.keys():
        return Pair(False, kind="shape")
    live, other = list(ours.values()), [theirs[place] for place in ours]
    if are_floats(live) and are_floats(other):
        return _vectors(live, other, tolerance)
    pairs = [pair(one, another, tolerance) for one, another in zip(live, other, strict=True)]
    numbers = any(one.kind == "number" for one in pairs)
    apart = max((one.apart for one in pairs), default=0.0)
    return Pair(all(one.agrees for one in pairs), apart, "number" if numbers else "label")


def leaves(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the scalars in a value, each with its place; where one is empty, that it is."""
    if isinstance(value, dict):
        inside: Iterator[tuple[Any, Any]] = iter(value.items())
    elif isinstance(value, list | tuple):
        inside = iter(enumerate(value))
    else:
        yield place, value
        return
    if not value:
        yield f"{place}.", None
    for name, part in inside:
        yield from leaves(part, f"{place}.{name}")


def is_number(value: Any) -> bool:
    """Return whether it is a number; truth values are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def are_floats(values: Any) -> TypeGuard[Sequence[float]]:
    """Return whether these are floats, one at least, and nothing else."""
    return isinstance(values, list | tuple) and set(map(type, values)) == {float}


def are_probabilities(values: Sequence[float]) -> bool:
    """Return whether there are at least two, from 0 to 1, whose sum is 1."""
    return len(values) > 1 and min(values) >= 0 and abs(sum(values) - 1) <= SUM


def likeliest(values: Sequence[float]) -> int:
    """Return the place of the largest probability, the first of equal ones."""
    return values.index(max(values))


def distance(one: float, other: float) -> float:
    """Return how far two numbers are apart, 0 where that cannot be said."""
    try:
        apart = abs(one - other)
    except OverflowError:  # a whole number of JSON may be of any length
        return 0.0
    return float(apart) if apart < math.inf else 0.0


def _apart(live: Sequence[float], other: Sequence[float]) -> float:
    return max(map(distance, live, other))


def _same(live: Any, other: Any) -> bool:
    if live is None or other is None:  # JSON has no NaN
        return all(one is None or one != one for one in (live, other))
    return type(live) is type(other) and bool(live == other)
