"""`compare`: one pair of answers to the same request, row by row."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from prism_core.traffic.comparing.answers import MOST_VALUES, Answer, columns, plain
from prism_core.traffic.comparing.columns import Columns, Unreadable
from prism_core.traffic.comparing.distribution import HUGE, Distribution
from prism_core.traffic.comparing.values import NESTED, Pair, Tolerance, leaves, pair

MOST_ROWS = 1000
# Models have a few outputs; those of a column model may be many.
MOST_OUTPUTS = 16
_USUAL = Tolerance()


class OutputDifference(msgspec.Struct):
    """How the two sides differ in one output. They add up.

    Parameters
    ----------
    rows, agreed
        Rows that were compared, and those of them that agree in this output.
    numbers, apart_sum, apart_most
        Rows with numbers: how many, and the sum and the largest of the distances in them.
    probabilities, likeliest, probability_most
        Rows of probabilities: how many, in how many both sides find the same place the likeliest, and the
        largest distance.
    live, other
        The values of both sides.
    changes
        Of labels that do not agree: which is instead of which.
    """

    rows: int = 0
    agreed: int = 0
    numbers: int = 0
    apart_sum: float = 0.0
    apart_most: float = 0.0
    probabilities: int = 0
    likeliest: int = 0
    probability_most: float = 0.0
    live: Distribution = msgspec.field(default_factory=Distribution)
    other: Distribution = msgspec.field(default_factory=Distribution)
    changes: Distribution = msgspec.field(default_factory=Distribution)

    def add(self, found: Pair, ours: Any, theirs: Any) -> None:
        """Count a row."""
        self.live.add_row(ours)
        self.other.add_row(theirs)
        if not (found.agrees or isinstance(ours, (*NESTED, float)) or isinstance(theirs, (*NESTED, float))):
            self.changes.add_class(f"{_quoted(ours)} -> {_quoted(theirs)}")
        self._count(found)

    def _count(self, found: Pair) -> None:
        self.rows += 1
        self.agreed += found.agrees
        if found.kind == "number":
            self.numbers += 1
            self.apart_sum = min(self.apart_sum + found.apart, HUGE)
            self.apart_most = max(self.apart_most, found.apart)
        elif found.kind == "probabilities":
            self.probabilities += 1
            self.likeliest += found.agrees
            self.probability_most = max(self.probability_most, found.apart)

    def merge(self, more: OutputDifference) -> None:
        """Count all that ``more`` has counted."""
        self.rows += more.rows
        self.agreed += more.agreed
        self.numbers += more.numbers
        self.apart_sum = min(self.apart_sum + more.apart_sum, HUGE)
        self.apart_most = max(self.apart_most, more.apart_most)
        self.probabilities += more.probabilities
        self.likeliest += more.likeliest
        self.probability_most = max(self.probability_most, more.probability_most)
        self.live.merge(more.live)
        self.other.merge(more.other)
        self.changes.merge(more.changes)


class Difference(msgspec.Struct):
    """How two answers to the same request differ.

    Parameters
    ----------
    rows, agreed
        Rows that were compared, and those of them in which all outputs agree.
    why
        Why nothing was compared, as a code: ``live_failed``, ``other_failed``, ``both_failed``,
        ``media_types``, ``outputs``, ``row_counts``, ``unreadable``; "" where it was.
    said
        That in words; else the first row that does not agree.
    apart
        The places of the rows that do not agree.
    outputs
        By the name of the output.
    """

    rows: int = 0
    agreed: int = 0
    why: str = ""
    said: str = ""
    apart: tuple[int, ...] = ()
    outputs: dict[str, OutputDifference] = {}

    @property
    def disagreement(self) -> float:
        """How much of the answer does not agree, from 0 to 1; 1 for answers that cannot be compared."""
        if self.rows:
            return 1 - self.agreed / self.rows
        return float(self.why not in ("", "both_failed"))


def compare(
    live: Answer, other: Answer, tolerance: Tolerance = _USUAL, *, most_rows: int = MOST_ROWS
) -> Difference:
    """Return how ``other`` differs from ``live``; the numbers are the same where they are exchanged.

    The first ``most_rows`` rows are looked at, and of each output `MOST_VALUES` values. A media type of
    which nothing is known is one row that agrees where all bytes are equal.
    """
    if live.code != "ok" or other.code != "ok":
        return _of_errors(live.code, other.code)
    if plain(live.media_type) != plain(other.media_type):
        return Difference(why="media_types", said=f"{live.media_type} / {other.media_type}")
    try:
        ours, theirs = columns(live), columns(other)
    except Unreadable as error:
        if live.body == other.body:
            return Difference(1, 1)
        return Difference(why="unreadable", said=f"A body cannot be read: {error}.")
    if ours is None or theirs is None:
        return _of_bytes(live.body, other.body)
    return _of_columns(ours, theirs, tolerance, most_rows)


def _of_errors(live: str, other: str) -> Difference:
    why = "live_failed" if other == "ok" else "other_failed" if live == "ok" else "both_failed"
    return Difference(why=why, said=f"{live} / {other}")


def _of_bytes(live: bytes | memoryview, other: bytes | memoryview) -> Difference:
    agreed = int(live == other)
    return Difference(
        1,
        agreed,
        apart=() if agreed else (0,),
        said="" if agreed else f"{len(live)} bytes / {len(other)} other bytes",
    )


def _of_columns(live: Columns, other: Columns, tolerance: Tolerance, most_rows: int) -> Difference:
    both = live.keys() & other.keys()
    names = sorted(both, key=lambda name: (name != "predictions", name))[:MOST_OUTPUTS]
    if not names and len(live) == len(other) == 1:  # the same output by another name
        names, other = list(live), dict(zip(live, other.values(), strict=True))
    if not names:
        return Difference(why="outputs", said=f"{_listed(live)} / {_listed(other)}")
    for name in names:
        if len(live[name]) != len(other[name]):
            said = f"{name}: {len(live[name])} rows / {len(other[name])} rows"
            return Difference(why="row_counts", said=said)
    return _of_rows({name: (live[name], other[name]) for name in names}, tolerance, most_rows)


def _of_rows(
    sides: dict[str, tuple[list[Any], list[Any]]], tolerance: Tolerance, most_rows: int
) -> Difference:
    length = max(len(live) for live, _ in sides.values())
    widest = max(map(_width, sides.values()))
    usual = min(length, most_rows, max(1, MOST_VALUES // max(1, widest)))
    disagree: set[int] = set()
    found = Difference(usual, outputs={})
    for name, (live, other) in sides.items():
        output = found.outputs[name] = OutputDifference()
        apart = _of_output(output, live[:usual], other[:usual], tolerance)
        if apart and not found.said:
            at = apart[0]
            found.said = f"row {at + 1} of {name}: {_quoted(live[at])} / {_quoted(other[at])}"
        # What is not told row by row, next to outputs that are, belongs to each row.
        disagree.update(apart if len(live) == length or not apart else range(usual))
    found.agreed = usual - len(disagree)
    found.apart = tuple(sorted(disagree))
    return found


def _of_output(
    output: OutputDifference, live: list[Any], other: list[Any], tolerance: Tolerance
) -> list[int]:
    """Compare the rows of an output, count them, and return the places of those that do not agree."""
    apart = []
    for at, (ours, theirs) in enumerate(zip(live, other, strict=True)):
        found = pair(ours, theirs, tolerance)
        output.add(found, ours, theirs)
        if not found.agrees:
            apart.append(at)
    return apart


def _width(sides: tuple[list[Any], list[Any]]) -> int:
    """Return how many values a row has, the first one of either side."""
    return max(sum(1 for _ in leaves(rows[0])) if rows else 0 for rows in sides)


def _quoted(value: Any) -> str:
    text = msgspec.json.encode(value, enc_hook=str).decode("utf-8", "replace")
    return text if len(text) <= 40 else f"{text[:37]}..."


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))[:80]
