"""Counts rows, and those that differ, by their features: each value of a category, each part of a range.

Numbers are parted where the first rows have their tenths, so that all rows are counted and none is kept.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from functools import partial

import attrs

from prism_core.traffic.replaying.features import Row, Scalar

# So many rows are seen before numbers are parted.
FIRST_ROWS = 1000
PARTS = 10
# A number of so few values is a category.
FEW_VALUES = 12
MOST_VALUES = 200
MOST_FEATURES = 256
MISSING, ANY_OTHER = "missing", "any other"
# Of all rows so many are kept, drawn at random, to look at two features at once; fewer of wide ones.
MOST_ROWS, MOST_CELLS = 20_000, 300_000


@attrs.define
class Count:
    """Rows, and those of them that differ."""

    rows: int = 0
    differ: int = 0

    def add(self, differs: bool) -> None:
        """Count a row."""
        self.rows += 1
        self.differ += differs

    def __add__(self, other: Count) -> Count:
        return Count(self.rows + other.rows, self.differ + other.differ)

    def __sub__(self, other: Count) -> Count:
        return Count(self.rows - other.rows, self.differ - other.differ)

    @property
    def share(self) -> float:
        """How many of the rows differ, from 0 to 1."""
        return self.differ / self.rows if self.rows else 0.0


@attrs.frozen
class Candidate:
    """A part of all rows, by one feature: in words, how many of them differ, and whether a value is in it."""

    feature: str
    said: str
    count: Count
    has: Callable[[Scalar], bool]

    def holds(self, row: Row) -> bool:
        """Return whether a row is in it."""
        return self.feature in row and self.has(row[self.feature])


@attrs.define
class Feature:
    """The counts of one feature.

    ``cuts`` are where its numbers are parted, None for a category.
    """

    name: str
    cuts: tuple[float, ...] | None
    values: dict[str, Count] = attrs.field(factory=dict)
    parts: list[Count] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        """Begin with nothing in each part."""
        self.parts = [Count() for _ in range(len(self.cuts) + 1)] if self.cuts is not None else []

    def add(self, value: Scalar, differs: bool) -> None:
        """Count a row."""
        if self.cuts is not None and _is_number(value):
            self.parts[self._part(value)].add(differs)
        else:
            self.values.setdefault(self._name(value), Count()).add(differs)

    def candidates(self) -> Iterator[Candidate]:
        """Yield all parts: each value, and each range of parts next to each other."""
        for value, count in self.values.items():
            yield Candidate(self.name, f"{self.name} is {value}", count, partial(self._is, value))
        for first in range(len(self.parts)):
            count = Count()
            for last in range(first, len(self.parts)):
                count = count + self.parts[last]
                if last - first + 1 < len(self.parts) and count.rows:
                    inside = partial(self._is_in, first, last)
                    yield Candidate(self.name, self._range(first, last), count, inside)

    def _is(self, name: str, value: Scalar) -> bool:
        in_a_part = self.cuts is not None and _is_number(value)
        return not in_a_part and self._name(value) == name

    def _is_in(self, first: int, last: int, value: Scalar) -> bool:
        return self.cuts is not None and _is_number(value) and first <= self._part(value) <= last

    def _part(self, value: Scalar) -> int:
        number = float(value or 0.0)
        return sum(number >= cut for cut in self.cuts or ())

    def _name(self, value: Scalar) -> str:
        name = _named(value)
        return name if name in self.values or len(self.values) < MOST_VALUES else ANY_OTHER

    def _range(self, first: int, last: int) -> str:
        cuts = self.cuts or ()
        if first == 0:
            return f"{self.name} below {cuts[last]:.4g}"
        if last == len(cuts):
            return f"{self.name} from {cuts[first - 1]:.4g} on"
        return f"{self.name} from {cuts[first - 1]:.4g} to below {cuts[last]:.4g}"


class Features:
    """The counts of all features of some rows.

    Attributes
    ----------
    total
        All rows.
    sample
        Some of them, each as likely as any other; all where there are not many.
    """

    def __init__(self) -> None:
        self.total = Count()
        self.sample: list[tuple[Row, bool]] = []
        self._drawn = random.Random(0)
        self._first: list[tuple[Row, bool]] = []
        self._features: dict[str, Feature] = {}
        self._parted = False

    def add(self, row: Row, differs: bool) -> None:
        """Count a row."""
        self.total.add(differs)
        self._keep(row, differs)
        if not self._parted:
            self._first.append((row, differs))
            if len(self._first) == FIRST_ROWS:
                self._part()
            return
        self._count(row, differs)

    def candidates(self) -> list[Candidate]:
        """Return the parts of all rows, by all features."""
        if not self._parted:
            self._part()
        return [one for feature in self._features.values() for one in feature.candidates()]

    def _keep(self, row: Row, differs: bool) -> None:
        """Keep a sample by reservoir (Vitter's algorithm R, TOMS 11:1, 1985)."""
        if len(self.sample) < min(MOST_ROWS, MOST_CELLS // max(1, len(row))):
            self.sample.append((row, differs))
        elif (at := self._drawn.randrange(self.total.rows)) < len(self.sample):
            self.sample[at] = (row, differs)

    def _part(self) -> None:
        self._parted = True
        names = dict.fromkeys(name for row, _ in self._first for name in row)
        for name in list(names)[:MOST_FEATURES]:
            values = [row[name] for row, _ in self._first if name in row]
            self._features[name] = Feature(name, cuts_of(values))
        first, self._first = self._first, []
        for row, differs in first:
            self._count(row, differs)

    def _count(self, row: Row, differs: bool) -> None:
        for name, value in row.items():
            if (feature := self._features.get(name)) is not None:
                feature.add(value, differs)


def cuts_of(values: list[Scalar]) -> tuple[float, ...] | None:
    """Return where numbers are parted so that about as many are in each part; None for categories."""
    numbers = sorted(float(one) for one in values if _is_number(one) and one is not None)
    if len(set(numbers)) <= FEW_VALUES or 2 * len(numbers) < len(values):
        return None
    tenths = (numbers[len(numbers) * part // PARTS] for part in range(1, PARTS))
    return tuple(sorted({cut for cut in tenths if cut > numbers[0]}))


def _is_number(value: Scalar) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _named(value: Scalar) -> str:
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else f"{value:.6g}"
