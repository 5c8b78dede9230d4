"""How long both versions took for the same requests, and how much slower one is.

Of a request that was sent late the lateness is in both times: they begin when it was due. What is uncertain
about a difference comes from drawing the pairs anew, in blocks of neighbours: what slows a machine for a
moment meets many requests in a row, which are no news of each other (the moving-block bootstrap: Künsch,
Annals of Statistics 17:3, 1989).
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np

QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
# Of a quantile there is nothing to say with fewer values than these beyond it.
BEYOND = 5
_DRAWS, _MOST_DRAWN = 200, 20_000_000
# So many blocks make a drawing: few enough that each is long, and enough to draw from.
_BLOCKS = 40


@attrs.frozen
class Slowdown:
    """How much slower the candidate is in a quantile, as a share: 0.1 is ten percent.

    From ``low`` to ``high`` with a confidence of 95 %.
    """

    change: float
    low: float
    high: float


@attrs.frozen
class Times:
    """Quantiles of how long answers took, in milliseconds, and how much slower the candidate is.

    A quantile that too few answers say anything about is left out.
    """

    answers: int
    baseline_ms: dict[str, float]
    candidate_ms: dict[str, float]
    slowdown: dict[str, Slowdown]


def quantiles_ms(seconds: Sequence[float]) -> dict[str, float]:
    """Return the quantiles of which there is something to say, in milliseconds."""
    values = np.asarray(seconds, dtype=float) * 1000
    told = [name for name, share in QUANTILES.items() if len(values) * (1 - share) >= BEYOND]
    return {name: float(np.quantile(values, QUANTILES[name])) for name in told}


def times_of(baseline_s: Sequence[float], candidate_s: Sequence[float], seed: int = 0) -> Times:
    """Return how long both took for the same requests, of which each has a place in both."""
    ours, theirs = quantiles_ms(baseline_s), quantiles_ms(candidate_s)
    pairs = np.array([baseline_s, candidate_s], dtype=float)
    slowdown = _slowdown(pairs, list(ours), seed) if ours else {}
    return Times(len(baseline_s), ours, theirs, slowdown)


def _slowdown(pairs: np.ndarray, names: list[str], seed: int) -> dict[str, Slowdown]:
    shares = [QUANTILES[name] for name in names]
    count = pairs.shape[1]
    random = np.random.default_rng(seed)
    draws = max(20, min(_DRAWS, _MOST_DRAWN // count))
    length = max(1, count // _BLOCKS)
    inside = np.arange(length)
    drawn = []
    for _ in range(draws):
        first = random.integers(0, count - length + 1, (count // length, 1))
        drawn.append(_change(pairs[:, (first + inside).ravel()], shares))
    low, high = np.quantile(drawn, (0.025, 0.975), axis=0)
    change = _change(pairs, shares)
    return {name: Slowdown(*map(float, one)) for name, *one in zip(names, change, low, high, strict=True)}


def _change(pairs: np.ndarray, shares: list[float]) -> np.ndarray:
    ours, theirs = np.quantile(pairs, shares, axis=1).T
    return np.asarray(theirs / np.maximum(ours, 1e-9) - 1)
