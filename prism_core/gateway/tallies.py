"""What the call records of one version add up to. Pure: no clock, no metrics.

An execution is shared by all requests that were in it, and each of their records knows how many rows it had
in all: so the parts of the rows add up to the number of executions, without a word more from the runtime.
That is exact where all of them were answered; one who hung up meanwhile leaves a part that is rounded off. A
request that took several executions says how many rows these had on the average.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate

import attrs

from prism_core.serving import Executions, Statistics
from prism_core.specs import CallRecord

# The upper bounds of the metrics' buckets.
SECONDS = (
    0.0001,
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
)
ROWS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)
# Larger executions are counted with others: whoever may send any number of rows must not fill the memory.
SIZES = 4096


@attrs.define(eq=False, slots=True)
class Histogram:
    """Counts by bucket; ``counts`` has one more than ``bounds``, for what is larger."""

    bounds: tuple[float, ...]
    counts: list[int]
    total: float = 0.0

    @classmethod
    def of(cls, bounds: tuple[float, ...]) -> Histogram:
        """Return an empty histogram."""
        return cls(bounds, [0] * (len(bounds) + 1))

    def observe(self, value: float) -> None:
        """Count ``value``; a bound belongs to the bucket below it, as Prometheus has it."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        """Return cumulative counts by upper bound."""
        names = [*(f"{bound:g}" for bound in self.bounds), "+Inf"]
        return list(zip(names, map(float, accumulate(self.counts)), strict=True))


@attrs.define(eq=False, slots=True)
class Sum:
    """How many, and their time. Of executions each record has a part, which need not be whole."""

    count: float = 0
    seconds: float = 0.0


@attrs.define(eq=False, slots=True)
class VersionCalls:
    """What the call records of one version add up to.

    Parameters
    ----------
    outcomes
        Records by code, with their time from first to last byte.
    caches
        Records by how their answer was had.
    kept
        Answers that were not computed.
    computed, rows, busy_s
        The requests that were computed, their rows, and the replica time that they took.
    sizes
        Executions by rows; see `size_of`.
    last
        When the last record came, in Unix seconds.
    """

    outcomes: dict[str, Sum] = attrs.field(factory=dict)
    caches: dict[str, int] = attrs.field(factory=dict)
    kept: Sum = attrs.field(factory=Sum)
    computed: int = 0
    rows: int = 0
    busy_s: float = 0.0
    sizes: dict[int, Sum] = attrs.field(factory=dict)
    last: float = 0.0
    queue: Histogram = attrs.field(factory=lambda: Histogram.of(SECONDS))
    compute: Histogram = attrs.field(factory=lambda: Histogram.of(SECONDS))
    batch: Histogram = attrs.field(factory=lambda: Histogram.of(ROWS))

    def add(self, record: CallRecord) -> None:
        """Count one record. Called for each, so everything is written out."""
        code, cache = record.code, record.cache
        outcome = self.outcomes.get(code)
        if outcome is None:
            outcome = self.outcomes[code] = Sum()
        outcome.count += 1
        outcome.seconds += record.total_s
        self.caches[cache] = self.caches.get(cache, 0) + 1
        if batch_rows := record.batch_rows:  # it was computed, not found
            self._add_computed(record, batch_rows)
        elif code == "ok":
            self.kept.count += 1
            self.kept.seconds += record.total_s

    def _add_computed(self, record: CallRecord, batch_rows: int) -> None:
        rows, compute_s = record.rows, record.compute_s
        self.queue.observe(record.queue_s)
        self.compute.observe(compute_s)
        self.batch.observe(batch_rows)
        self.computed += 1
        self.rows += rows
        # An execution's time is shared by all rows that were in it. A request that took several has a part
        # of more than one, and the time of all of them already.
        part = rows / batch_rows
        busy_s = compute_s if part > 1 else compute_s * part
        self.busy_s += busy_s
        size = batch_rows if batch_rows < SIZES else size_of(batch_rows)
        executed = self.sizes.get(size)
        if executed is None:
            executed = self.sizes[size] = Sum()
        executed.count += part
        executed.seconds += busy_s


def size_of(rows: int) -> int:
    """Return the size under which executions of ``rows`` are counted: the power of two below large ones."""
    return rows if rows < SIZES else 1 << (rows.bit_length() - 1)


def statistics_of(model: str, version: int, calls: VersionCalls | None) -> Statistics:
    """Return what a version's records say; None where nobody has asked it yet."""
    if calls is None:
        return Statistics(model, version)
    outcomes = dict(calls.outcomes)
    succeeded, cancelled = (outcomes.pop(code, Sum()) for code in ("ok", "cancelled"))
    batches = {size: _whole(executed) for size, executed in calls.sizes.items()}
    return Statistics(
        model,
        version,
        succeeded=int(succeeded.count),
        succeeded_s=succeeded.seconds,
        failed=int(sum(failed.count for failed in outcomes.values())),
        failed_s=sum(failed.seconds for failed in outcomes.values()),
        cancelled=int(cancelled.count),
        rows=calls.rows,
        executions=sum(batch.count for batch in batches.values()),
        computed=calls.computed,
        queue_s=calls.queue.total,
        compute_s=calls.compute.total,
        hits=int(calls.kept.count),
        hits_s=calls.kept.seconds,
        misses=calls.caches.get("miss", 0),
        batches=batches,
        last=calls.last,
    )


def _whole(executed: Sum) -> Executions:
    return Executions(max(1, round(executed.count)), executed.seconds)
