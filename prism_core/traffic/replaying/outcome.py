"""The result of a replay, and whether it is within bounds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import attrs
from msgspec import Meta

from prism_core.traffic.replaying.features import Row
from prism_core.traffic.replaying.latency import Times
from prism_core.traffic.replaying.slices import Slice, percent

Share = Annotated[float, Meta(ge=0)]


@attrs.frozen
class Bounds:
    """What a candidate may be worse by; None: as it likes.

    Parameters
    ----------
    max_disagreement
        The share of rows that may differ.
    max_slowdown
        By what share its 95th percentile may be slower: 0.1 for ten percent. What may as well be chance
        breaks no bound.
    max_errors
        So many requests may fail that the baseline has answered.
    """

    max_disagreement: Annotated[float, Meta(ge=0, le=1)] | None = None
    max_slowdown: Share | None = None
    max_errors: Annotated[int, Meta(ge=0)] | None = None

    @property
    def any(self) -> bool:
        """Whether there is one at all."""
        return (self.max_disagreement, self.max_slowdown, self.max_errors) != (None, None, None)


@attrs.frozen
class Example:
    """A request of which both answers differ: its id, how much, where, and both answers, cut off.

    ``row`` is what was asked in the first row that differs, None where it cannot be read by name.
    """

    request: str
    disagreement: float
    said: str
    baseline: str
    candidate: str
    row: Row | None = None


@attrs.frozen
class OutputChange:
    """How an output differs: rows that do, and how far numbers are apart; None where there are none."""

    name: str
    rows: int
    differ: int
    mean_distance: float | None
    largest_distance: float | None


@attrs.frozen
class Pace:
    """Whether the sender kept the time.

    Parameters
    ----------
    open_loop
        False: it waited for answers.
    late_ms, latest_ms
        Quantiles of how late it was itself, in milliseconds, and how late at most.
    baseline_in_flight, candidate_in_flight
        The most requests that were under way at once: how far each version fell behind.
    """

    open_loop: bool
    late_ms: dict[str, float]
    latest_ms: float
    baseline_in_flight: int
    candidate_in_flight: int


@attrs.frozen
class Outcome:
    """What a replay has found out.

    Parameters
    ----------
    requests
        How many were sent to both.
    compared_rows, differing_rows
        Rows of answers of both, and those that differ.
    interval
        Where the share of differing rows lies, with a confidence of 95 %.
    uncompared
        Requests of which nothing was compared, by why.
    baseline_errors, candidate_errors
        Requests that failed, by code.
    new_errors
        Requests that the candidate failed and the baseline did not.
    damaged
        Blocks of the recording that could not be read.
    """

    model: str
    baseline: str
    candidate: str
    requests: int
    since: float
    until: float
    compared_rows: int
    differing_rows: int
    interval: tuple[float, float]
    uncompared: dict[str, int]
    baseline_errors: dict[str, int]
    candidate_errors: dict[str, int]
    new_errors: int
    outputs: list[OutputChange]
    slices: list[Slice]
    examples: list[Example]
    times: Times
    pace: Pace
    damaged: int = 0

    @property
    def disagreement(self) -> float:
        """The share of compared rows that differ."""
        return self.differing_rows / self.compared_rows if self.compared_rows else 0.0


def broken(outcome: Outcome, bounds: Bounds) -> list[str]:
    """Return in words which bounds an outcome breaks; what cannot be told is not within them."""
    return list(_broken(outcome, bounds))


def _broken(outcome: Outcome, bounds: Bounds) -> Iterator[str]:
    if bounds.max_disagreement is not None:
        if not outcome.compared_rows:
            yield "max-disagreement: no rows could be compared"
        elif outcome.disagreement > bounds.max_disagreement:
            yield (
                f"max-disagreement: {percent(outcome.disagreement)} of the rows differ, "
                f"more than {percent(bounds.max_disagreement)}"
            )
    if bounds.max_slowdown is not None:
        yield from _slow(outcome.times, bounds.max_slowdown)
    if bounds.max_errors is not None and outcome.new_errors > bounds.max_errors:
        yield (
            f"max-errors: {outcome.new_errors:,} requests failed that {outcome.baseline} answered, "
            f"more than {bounds.max_errors:,}"
        )


def _slow(times: Times, most: float) -> Iterator[str]:
    slowdown = times.slowdown.get("p95")
    if slowdown is None:
        yield f"max-slowdown: of {times.answers:,} answers nothing can be said about the 95th percentile"
    elif slowdown.change > most and slowdown.low > 0:
        told = percent(slowdown.change)
        yield f"max-slowdown: the 95th percentile is {told} slower, more than {percent(most)}"
