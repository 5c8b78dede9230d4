"""What the call records of one version add up to. Pure: no clock, no metrics.

An execution is shared by all requests that were in it, and each of their records knows how many rows it had
in all: so the parts of the rows add up to the number of executions, without a word more from the runtime.
That is exact where all of them were answered; one who hung up meanwhile leaves a part that is rounded off. A
request that took several executions says how many rows these had on the average.
"""

from __future__ import annotations

import attrs

from prism_core.serving import Executions, Statistics
from prism_core.specs import CallRecord

# Larger executions are counted with others: whoever may send any number of rows must not fill the memory.
SIZES = 4096


@attrs.define(eq=False, slots=True)
class Executed:
    """Executions of one size. ``count`` has a part for each record."""

    count: float = 0.0
    compute_s: float = 0.0


@attrs.define(eq=False, slots=True)
class Tally:
    """Sums over the records of one version.

    Parameters
    ----------
    codes, seconds
        Records by the code of their outcome, and their time from first to last byte.
    caches
        Records by how their answer was had.
    computed, rows, queue_s, compute_s
        Of the requests that were computed.
    busy_s
        The replica time that they took.
    kept, kept_s
        Answers that were not computed, and their time.
    sizes
        Executions by rows; see `size_of`.
    last
        When the last record came, in Unix seconds.
    """

    codes: dict[str, int] = attrs.field(factory=dict)
    seconds: dict[str, float] = attrs.field(factory=dict)
    caches: dict[str, int] = attrs.field(factory=dict)
    computed: int = 0
    rows: int = 0
    queue_s: float = 0.0
    compute_s: float = 0.0
    busy_s: float = 0.0
    kept: int = 0
    kept_s: float = 0.0
    sizes: dict[int, Executed] = attrs.field(factory=dict)
    last: float = 0.0

    def add(self, record: CallRecord) -> None:
        """Count one record."""
        code, cache = record.code, record.cache
        self.codes[code] = self.codes.get(code, 0) + 1
        self.seconds[code] = self.seconds.get(code, 0.0) + record.total_s
        self.caches[cache] = self.caches.get(cache, 0) + 1
        if record.batch_rows:
            self._add_computed(record)
        elif code == "ok":
            self.kept += 1
            self.kept_s += record.total_s

    def _add_computed(self, record: CallRecord) -> None:
        self.computed += 1
        self.rows += record.rows
        self.queue_s += record.queue_s
        self.compute_s += record.compute_s
        part = record.rows / record.batch_rows
        # Of several executions, a part of more than one, the record has the whole time already.
        busy_s = record.compute_s * min(1.0, part)
        self.busy_s += busy_s
        size = record.batch_rows if record.batch_rows < SIZES else size_of(record.batch_rows)
        executed = self.sizes.get(size)
        if executed is None:
            executed = self.sizes[size] = Executed()
        executed.count += part
        executed.compute_s += busy_s


def size_of(rows: int) -> int:
    """Return the size under which executions of ``rows`` are counted: the power of two below large ones."""
    return rows if rows < SIZES else 1 << (rows.bit_length() - 1)


def statistics_of(model: str, version: int, tally: Tally | None) -> Statistics:
    """Return what a version's tally says; None where nobody has asked it yet."""
    if tally is None:
        return Statistics(model, version)
    codes, seconds = tally.codes, tally.seconds
    succeeded, cancelled = codes.get("ok", 0), codes.get("cancelled", 0)
    batches = {size: _whole(executed) for size, executed in tally.sizes.items()}
    return Statistics(
        model,
        version,
        succeeded=succeeded,
        succeeded_s=seconds.get("ok", 0.0),
        failed=sum(codes.values()) - succeeded - cancelled,
        failed_s=sum(s for code, s in seconds.items() if code not in ("ok", "cancelled")),
        cancelled=cancelled,
        rows=tally.rows,
        executions=sum(batch.count for batch in batches.values()),
        computed=tally.computed,
        queue_s=tally.queue_s,
        compute_s=tally.compute_s,
        hits=tally.kept,
        hits_s=tally.kept_s,
        misses=tally.caches.get("miss", 0),
        batches=batches,
        last=tally.last,
    )


def _whole(executed: Executed) -> Executions:
    return Executions(max(1, round(executed.count)), executed.compute_s)
