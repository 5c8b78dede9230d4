"""What an experiment says so far, in numbers and in plain words.

All lines together are wrong with the probability alpha at most, however often they are read: each metric of
each share gets its part of it. A share is *better* or *worse* where its interval is all on one side, the
*same* where it is nearer to the control than anybody needs to know, and else it is *unclear*.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Literal

import attrs

from prism_core.traffic.experiment import Experiment, Metric
from prism_core.traffic.sketch import Sketch
from prism_core.traffic.statistics import forecast, rates
from prism_core.traffic.statistics.interval import Interval
from prism_core.traffic.statistics.spending import shared
from prism_core.traffic.trial import Latencies, Rated, Trial

Verdict = Literal["better", "worse", "same", "unclear", "mixed"]

# A difference that matters to nobody: 5 % of latency, one point of a rate.
PRACTICAL: Mapping[Metric, float] = {"latency": 0.05, "errors": 0.01, "agreement": 0.01, "labels": 0.01}
# What a metric counts; others count requests.
COUNTED: Mapping[Metric, str] = {"labels": "labels", "agreement": "comparisons"}


@attrs.frozen
class Line:
    """What is known of one metric of one share.

    Parameters
    ----------
    metric, arm
        What of which version.
    n, control_n
        How many records there are of it and of the control; of latency, how many requests.
    value, control_value
        The median in seconds, or the rate; None without records.
    difference, low, high
        To the control, and the interval that holds it; of latency a part of the control's (0.12 is 12 %
        longer), of rates in points (0.01 is one point). None where nothing can be said yet.
    verdict
        What that means.
    more
        About so many requests more, of both, until a practical difference would be seen; None for more than
        anybody waits, or where no difference has to be looked for any more.
    says
        All of it in a sentence.
    p95_s, control_p95_s
        Of latency alone.
    """

    metric: Metric
    arm: str
    n: int
    control_n: int
    value: float | None
    control_value: float | None
    difference: float | None
    low: float | None
    high: float | None
    verdict: Verdict
    more: int | None
    says: str
    p95_s: float | None = None
    control_p95_s: float | None = None


def lines_of(trial: Trial, asked: Experiment, names: Callable[[str], str]) -> list[Line]:
    """Return a line for each share and metric; ``names`` says what an arm is called in sentences."""
    alpha = shared(asked.alpha, len(asked.metrics) * len(trial.others))
    return [_line(trial, metric, arm, alpha, names) for arm in trial.others for metric in asked.metrics]


def overall(lines: list[Line]) -> Verdict:
    """Return what the lines of one share mean together."""
    found = {line.verdict for line in lines}
    if {"better", "worse"} <= found:
        return "mixed"
    decided: tuple[Verdict, ...] = ("worse", "better")
    for verdict in decided:
        if verdict in found:
            return verdict
    return "same" if found == {"same"} else "unclear"


def _line(trial: Trial, metric: Metric, arm: str, alpha: float, names: Callable[[str], str]) -> Line:
    found = _latency(trial, arm, alpha) if metric == "latency" else _rate(trial, metric, arm, alpha)
    return attrs.evolve(found, says=_sentence(found, names(arm), names(trial.control)))


def _rate(trial: Trial, metric: Rated, arm: str, alpha: float) -> Line:
    pairs = trial.pairs(metric, arm)
    control, other = trial.rate(metric, trial.control), trial.rate(metric, arm)
    interval = rates.interval(pairs, alpha)
    verdict = _verdict(interval, PRACTICAL[metric], up_is_worse=metric == "errors")
    sign = 1 if metric == "errors" else -1
    times = forecast.of_rates(pairs, sign * PRACTICAL[metric], alpha) if verdict == "unclear" else None
    return Line(
        metric,
        arm,
        round(other.n),
        round(control.n),
        other.mean if other.n else None,
        control.mean if control.n else None,
        rates.likeliest(pairs) if pairs else None,
        interval.low if pairs else None,
        interval.high if pairs else None,
        verdict,
        _more(times, control.n + other.n),
        "",
    )


def _latency(trial: Trial, arm: str, alpha: float) -> Line:
    contrast = trial.latencies.get(arm, Latencies()).whole
    control, other = (trial.sketches.get(one, Sketch()) for one in (trial.control, arm))
    interval = contrast.interval(alpha)
    known = math.isfinite(interval.low)
    verdict = _verdict(interval, math.log1p(PRACTICAL["latency"]), up_is_worse=True)
    wanted = math.log1p(PRACTICAL["latency"])
    times = forecast.of_contrast(contrast, wanted, alpha) if verdict == "unclear" else None
    return Line(
        "latency",
        arm,
        other.count,
        control.count,
        other.quantile(0.5) or None,
        control.quantile(0.5) or None,
        math.expm1(contrast.mean) if contrast.slices else None,
        math.expm1(interval.low) if known else None,
        math.expm1(interval.high) if known else None,
        verdict,
        _more(times, control.count + other.count),
        "",
        other.quantile(0.95) or None,
        control.quantile(0.95) or None,
    )


def _verdict(interval: Interval, practical: float, *, up_is_worse: bool) -> Verdict:
    if interval.within(practical):
        return "same"
    if interval.low > 0:
        return "worse" if up_is_worse else "better"
    if interval.high < 0:
        return "better" if up_is_worse else "worse"
    return "unclear"


def _more(times: float | None, n: float) -> int | None:
    """Return so many times ``n`` without ``n``, with the two digits that a forecast has."""
    if times is None:
        return None
    more = max(1.0, (times - 1) * n)
    unit: int = 10 ** max(0, math.floor(math.log10(more)) - 1)
    return math.ceil(more / unit) * unit


# --- words -----------------------------------------------------------------------------------

_WORSE: Mapping[Metric, str] = {
    "latency": "is slower than",
    "errors": "fails more often than",
    "agreement": "agrees with the shadow less often than",
    "labels": "answers worse than",
}
_BETTER: Mapping[Metric, str] = {
    "latency": "is faster than",
    "errors": "fails less often than",
    "agreement": "agrees with the shadow more often than",
    "labels": "answers better than",
}


def _sentence(line: Line, arm: str, control: str) -> str:
    if not line.n or not line.control_n:
        missing = " and ".join(name for name, n in ((control, line.control_n), (arm, line.n)) if not n)
        return f"nothing was heard of {missing} yet"
    if line.verdict in ("worse", "better"):
        verb = (_WORSE if line.verdict == "worse" else _BETTER)[line.metric]
        return f"{arm} {verb} {control}: {_numbers(line)}"
    if line.verdict == "same":
        return f"no practical difference: {_numbers(line)}"
    return f"no difference seen yet{_so_far(line)}; {_forecast(line)}"


def _numbers(line: Line) -> str:
    if line.difference is None or line.low is None or line.high is None:
        return ""
    if line.metric == "latency":
        p95 = f"p95 {seconds(line.p95_s)} instead of {seconds(line.control_p95_s)}"
        return f"latency {line.difference:+.1%} ({line.low:+.1%} to {line.high:+.1%}), {p95}"
    points = f"{100 * line.low:+.2f} to {100 * line.high:+.2f} points"
    return f"{line.value:.2%} instead of {line.control_value:.2%} ({points})"


def _so_far(line: Line) -> str:
    if line.low is None or line.high is None:
        return ""
    if line.metric == "latency":
        return f" (between {line.low:+.1%} and {line.high:+.1%})"
    return f" (between {100 * line.low:+.2f} and {100 * line.high:+.2f} points)"


def _forecast(line: Line) -> str:
    size = f"{PRACTICAL[line.metric]:.0%}" if line.metric == "latency" else "one point"
    what = COUNTED.get(line.metric, "requests")
    if line.more is None:
        return f"a difference of {size} will not be seen with this traffic in any time to wait for"
    return f"with this traffic a difference of {size} would be seen after about {line.more:,} more {what}"


def seconds(found: float | None) -> str:
    """Return a time as people read it."""
    if found is None:
        return "unknown"
    return f"{found:.2f} s" if found >= 1 else f"{1000 * found:.3g} ms"
