"""How long one execution takes, for two forms of a model, measured in turns in this process."""

from __future__ import annotations

import gc
import statistics
import time

from prism_core.optimization import Pace
from prism_core.protocols import BaseModel
from prism_core.types import Batch, rows_of

# One row alone, what comes together under load, and a table.
SIZES = (1, 16, 256)
ROUNDS = 9
# A round shorter than this says more about the clock than about the model.
ROUND_S = 0.003
BUDGET_S = 4.0


def sizes_of(max_batch_rows: int, joins: bool) -> tuple[int, ...]:
    """Return the batch sizes to measure: those that a version's executions can have."""
    return tuple(size for size in SIZES if size <= max_batch_rows) if joins else SIZES[:1]


def measure(original: BaseModel, twin: BaseModel, rows: Batch, size: int) -> Pace:
    """Return the medians of both forms for executions of ``size`` rows, taken in turns."""
    batch = rows_of(rows, 0, size)
    forms = (original, twin)
    repeats = [_repeats(form, batch) for form in forms]
    taken: tuple[list[float], list[float]] = ([], [])
    gc.collect()
    end = time.perf_counter() + BUDGET_S
    for turn in range(ROUNDS):
        if turn >= 3 and time.perf_counter() > end:
            break
        for form, count, times in zip(forms, repeats, taken, strict=True):
            times.append(_round(form, batch, count))
    original_us, optimized_us = (statistics.median(times) * 1e6 for times in taken)
    return Pace(round(original_us, 2), round(optimized_us, 2))


def _repeats(form: BaseModel, batch: Batch) -> int:
    once_s = min(_round(form, batch, 1) for _ in range(3))  # the first calls fill caches
    return max(1, min(1000, int(ROUND_S / max(once_s, 1e-7))))


def _round(form: BaseModel, batch: Batch, count: int) -> float:
    begun = time.perf_counter()
    for _ in range(count):
        form.predict(batch)
    return (time.perf_counter() - begun) / count
