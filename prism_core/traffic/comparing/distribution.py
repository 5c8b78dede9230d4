"""How the values of one output are distributed: classes by their counts, numbers by mean and spread.

Summaries of parts add up to the summary of all, whatever the bounds are: of too many classes those with
the smallest hashes are kept, and such a class has been kept wherever it was seen.
"""

from __future__ import annotations

import math
from hashlib import blake2b
from itertools import islice
from typing import Any

import msgspec

from prism_core.traffic.comparing.values import NESTED, are_floats, are_probabilities, leaves, likeliest
from prism_core.traffic.sketch import Sketch

MOST_CLASSES = 64
MOST_CLASS_LETTERS = 80
# Of a row of an output that is wide: embeddings and pictures have no distribution that tells anything.
MOST_PLACES = 16
# So that an infinite value, or the square of a large one, does not end all arithmetic.
LARGEST, HUGE = 1e150, 1e300


class Distribution(msgspec.Struct):
    """The values of an output, or of one side of it.

    Parameters
    ----------
    missing
        Values that are null or NaN.
    classes
        Texts, whole numbers and truth values, by how often they came.
    other_classes
        Values of classes beyond `MOST_CLASSES`.
    numbers, mean, spread
        Of all numbers: how many, their mean, and the sum of their squared distances from it.
    sketch
        The numbers by size.
    """

    missing: int = 0
    classes: dict[str, int] = {}
    other_classes: int = 0
    numbers: int = 0
    mean: float = 0.0
    spread: float = 0.0
    sketch: Sketch = msgspec.field(default_factory=Sketch)

    @property
    def labels(self) -> int:
        """How many values of classes there are."""
        return sum(self.classes.values()) + self.other_classes

    @property
    def deviation(self) -> float:
        """The standard deviation of the numbers."""
        count = self.numbers
        return math.sqrt(self.spread / (count - 1)) if count > 1 else 0.0

    def add(self, value: Any) -> None:
        """Count one value."""
        if isinstance(value, float):
            self._add_number(value)
        elif value is None:
            self.missing += 1
        else:
            self.add_class(str(value)[:MOST_CLASS_LETTERS], 1)

    def add_row(self, row: Any) -> None:
        """Count a row: its value; of probabilities the likeliest place; of others the first few values."""
        if not isinstance(row, NESTED):
            self.add(row)
        elif are_floats(row) and are_probabilities(row):
            self.add_class(str(likeliest(row)), 1)
        else:
            for _, value in islice(leaves(row), MOST_PLACES):
                self.add(value)

    def merge(self, other: Distribution) -> None:
        """Count all that ``other`` has counted."""
        self.missing += other.missing
        self.other_classes += other.other_classes
        for label, count in other.classes.items():
            self.add_class(label, count)
        mine, more = self.numbers, other.numbers
        if more:
            apart, both = other.mean - self.mean, mine + more
            self.numbers = both
            self.mean += apart * more / both
            self.spread = min(self.spread + other.spread + apart * apart * mine * more / both, HUGE)
            self.sketch.merge(other.sketch)

    def _add_number(self, value: float) -> None:
        if value != value:
            self.missing += 1
            return
        value = min(max(value, -LARGEST), LARGEST)
        self.numbers += 1
        apart = value - self.mean
        self.mean += apart / self.numbers
        self.spread = min(self.spread + apart * (value - self.mean), HUGE)
        self.sketch.add(value)

    def add_class(self, label: str, count: int = 1) -> None:
        """Count a class."""
        classes = self.classes
        if label in classes or len(classes) < MOST_CLASSES:
            classes[label] = classes.get(label, 0) + count
            return
        last = max((label, *classes), key=_place)
        if last != label:
            self.other_classes += classes.pop(last)
            classes[label] = count
        else:
            self.other_classes += count


def _place(label: str) -> bytes:
    return blake2b(label.encode("utf-8", "replace"), digest_size=8).digest()
