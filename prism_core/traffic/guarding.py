"""Whether a share is worse than the control for certain: what the guard asks as records come.

Each metric is tested twice: by all that was added up since the trial began, and by the last hundreds of
records or slices alone, so that a share that was good for weeks and fails now is found as soon as a new one.
Both together, all windows there will ever be, all metrics and all shares err with ``alpha`` at most.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from prism_core.traffic.experiment import Metric, TrafficGuard
from prism_core.traffic.statistics.rates import Pair, Rate, difference, likeliest, log_evidence
from prism_core.traffic.statistics.spending import of_window, shared
from prism_core.traffic.trial import Latencies, Rated, Trial

# Where the control fails as often, a share that fails more is not the trouble, and to remove it no help.
CONTROL_FAILS = 0.5

WORDS: dict[Rated, str] = {
    "errors": "{other:.2%} of its requests failed, {control:.2%} of the control's",
    "agreement": "{other:.2%} of its answers agreed with the shadow's, {control:.2%} of the control's",
    "labels": "its answers were worth {other:.3f} on average, the control's {control:.3f}",
}


def worse(trial: Trial, guard: TrafficGuard, arm: str, metric: Metric) -> str:
    """Return by what an arm is worse than the control, for certain; "" where it is not."""
    if metric not in guard.metrics or trial.control_fails > CONTROL_FAILS:
        return ""
    alpha = shared(guard.alpha, 2 * len(guard.metrics) * len(trial.others))
    if metric == "latency":
        found = trial.latencies.get(arm)
        return _slower(found, math.log1p(guard.max_latency_percent / 100), alpha) if found else ""
    margin = guard.max_error_percent / 100 if metric == "errors" else 0.0
    return _worse_rate(trial, metric, arm, margin, alpha)


def _worse_rate(trial: Trial, metric: Rated, arm: str, margin: float, alpha: float) -> str:
    window = trial.windows.get(metric, {}).get(arm)
    if window is None:
        return ""
    whole, last = trial.pairs(metric, arm), [Pair(window.control, window.other)]
    for pairs, part in ((whole, alpha), (last, of_window(alpha, window.number))):
        if _beyond(pairs, margin, part, sign=1 if metric == "errors" else -1):
            control = sum((pair.control for pair in pairs), Rate())
            other = sum((pair.other for pair in pairs), Rate())
            return WORDS[metric].format(control=control.mean, other=other.mean)
    return ""


def _beyond(pairs: Sequence[Pair], margin: float, alpha: float, sign: int) -> bool:
    """Return whether the difference is beyond a margin, upwards or with ``sign`` -1 downwards."""
    if sign * difference(pairs) <= margin:
        return False
    if log_evidence(pairs, sign * margin) <= -math.log(alpha):
        return False
    return sign * likeliest(pairs) > margin


def _slower(found: Latencies, margin: float, alpha: float) -> str:
    for contrast, part in ((found.whole, alpha), (found.recent, of_window(alpha, found.number))):
        interval = contrast.interval(part)
        if interval.low > margin:
            low, high = (f"{math.expm1(end):+.0%}" for end in (interval.low, interval.high))
            return f"it takes {math.expm1(contrast.mean):.0%} longer than the control ({low} to {high})"
    return ""
