"""Ways to make an e-value of two versions' errors, side by side: how wide, and how soon.

``ours`` is `prism_core.traffic.statistics.rates`; its closed form is written once more here for many runs at
once, and a test holds the two together. ``one prior`` is the same with Jeffreys' weights alone; ``two
intervals`` is a sequence for each version by itself, and a difference where they do not meet; ``one by one``
is the two-sample e-value that estimates both rates before each request (Turner, Ly and Gruenwald, 2024).
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq
from scipy.special import betaln, xlogy
from scipy.stats import norm

from bench.experiments.traffic import Floats
from prism_core.traffic.statistics.rates import WEIGHTS, Pair, Rate, interval

Weights = tuple[tuple[float, float], ...]
JEFFREYS: Weights = ((0.5, 0.5),)


def log_ours(s: Floats, n: Floats, t: Floats, m: Floats, weights: Weights = WEIGHTS) -> Floats:
    """Return `log_evidence` of many pairs: ``s`` of ``n`` failed of the control, ``t`` of ``m`` else."""
    logs = [betaln(a + s, b + n - s) + betaln(a + t, b + m - t) - 2 * betaln(a, b) for a, b in weights]
    mixture = np.logaddexp.reduce(logs, axis=0) - np.log(len(weights))
    both, all_ = s + t, np.maximum(n + m, 1)
    return np.asarray(mixture - xlogy(both, both / all_) - xlogy(n + m - both, 1 - both / all_))


def log_one_by_one(failed: Floats, canary: Floats) -> Floats:
    """Return the running log e-value of each run (rows) after each request (columns)."""
    runs, n = failed.shape
    sums, counts = np.full((2, runs), 0.5), np.ones((2, runs))
    logs, rows = np.zeros((runs, n)), np.arange(runs)
    log, seen = np.zeros(runs), np.full(runs, 1.0)
    share = np.full(runs, 0.5)
    for at in range(n):
        arm, y = canary[:, at].astype(int), failed[:, at]
        rates = sums / counts
        pooled = share * rates[1] + (1 - share) * rates[0]
        mine = rates[arm, rows]
        log = log + np.where(y > 0, np.log(mine / pooled), np.log((1 - mine) / (1 - pooled)))
        logs[:, at] = log
        sums[arm, rows] += y
        counts[arm, rows] += 1
        seen += 1
        share += (arm - share) / seen
    return logs


def width_two(p: float, n: int, alpha: float) -> float:
    """Return how wide the difference of two intervals is, one for each version at half of alpha."""
    s = p * n

    def inside(q: float) -> float:
        log = betaln(0.5 + s, 0.5 + n - s) - betaln(0.5, 0.5) - xlogy(s, q) - xlogy(n - s, 1 - q)
        return float(log + np.log(alpha / 2))

    return 2 * (brentq(inside, p, 1 - 1e-12) - brentq(inside, 1e-12, p))


def width_joint(p: float, n: int, alpha: float) -> float:
    """Return how wide our interval is where both versions have ``n`` requests and the rate ``p``."""
    found = interval([Pair(Rate(n, p * n), Rate(n, p * n))], alpha)
    return found.high - found.low


def width_once(p: float, n: int, alpha: float) -> float:
    """Return how wide the interval of a test is that is made once, when the number was set before."""
    return float(2 * norm.ppf(1 - alpha / 2) * np.sqrt(2 * p * (1 - p) / n))


def first(above: Floats) -> Floats:
    """Return after how many requests each run is above for the first time; infinity for never."""
    return np.where(above.any(1), above.argmax(1) + 1.0, np.inf)


def soon(
    p: float, more: float, share: float, runs: int, n: int, alpha: float, seed: int
) -> dict[str, Floats]:
    """Return after how many requests each way has found ``more`` errors, in each run."""
    chance = np.random.default_rng(seed)
    canary = (chance.random((runs, n)) < share).astype(float)
    failed = (chance.random((runs, n)) < p + more * canary).astype(float)
    m, t = canary.cumsum(1), (failed * canary).cumsum(1)
    k, s = (1 - canary).cumsum(1), (failed * (1 - canary)).cumsum(1)
    bound = -np.log(alpha)
    return {
        "ours": first(log_ours(s, k, t, m) > bound),
        "one prior": first(log_ours(s, k, t, m, JEFFREYS) > bound),
        "two intervals": first(_apart(s, k, t, m, alpha)),
        "one by one": first(log_one_by_one(failed, canary) > bound),
        "a z-test at each look": first(_z(s, k, t, m) > norm.ppf(1 - alpha / 2)),
    }


def _apart(s: Floats, n: Floats, t: Floats, m: Floats, alpha: float) -> Floats:
    """Return where no rate is in both intervals: at each, the evidence of one of them is above the bound."""
    rates = np.concatenate([np.linspace(1e-4, 0.05, 60), np.linspace(0.055, 0.999, 60)])
    bound = -np.log(alpha / 2)
    both = [(betaln(0.5 + k, 0.5 + i - k) - betaln(0.5, 0.5) - bound, k, i - k) for k, i in ((s, n), (t, m))]
    apart = np.ones(s.shape, bool)
    for q in rates:
        one, other = (mixture - k * np.log(q) - rest * np.log1p(-q) > 0 for mixture, k, rest in both)
        apart &= one | other
    return apart


def _z(s: Floats, n: Floats, t: Floats, m: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        pooled = (s + t) / (n + m)
        z = np.abs(t / m - s / n) / np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    few = (np.minimum(n, m) < 30) | (s + t < 10)
    return np.where(few | ~np.isfinite(z), 0.0, z)
