"""How long one execution takes, for two forms of a model, measured in turns in this process."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Iterable

from prism_core.optimization import Pace
from prism_core.protocols import BaseModel
from prism_core.types import Batch, rows_of

# One row alone, what comes together under load, and a table.
SIZES = (1, 16, 256)
ROUNDS = 9
# A round shorter than this says more about the clock than about the model.
ROUND_S = 0.003
BUDGET_S = 4.0
# What two measurements of the same may differ by on a machine that has other work.
MARGIN = 0.1


def sizes_of(max_batch_rows: int, joins: bool) -> tuple[int, ...]:
    """Return the batch sizes to measure: those that a version's executions can have."""
    return tuple(size for size in SIZES if size <= max_batch_rows) if joins else SIZES[:1]


def is_faster(paces: Iterable[Pace]) -> bool:
    """Tell whether a form is faster on the whole, and at no size slower by more than measurements err."""
    speedups = [pace.speedup for pace in paces]
    return bool(speedups) and min(speedups) > 1 - MARGIN and statistics.geometric_mean(speedups) > 1 + MARGIN


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
