"""Runs of made-up traffic through the trial and the guard that the leading gateway has. No copy of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from functools import partial

import attrs
import numpy as np

from bench.experiments.traffic import Drawn, Traffic, draw
from prism_core.traffic.experiment import Metric, TrafficGuard
from prism_core.traffic.guarding import worse
from prism_core.traffic.trial import Trial

CONTROL, CANARY = "m/1", "m/2"


@attrs.frozen
class Outcome:
    """After how many requests each guard has acted, by its name; None: never."""

    acted: Mapping[str, int | None]
    requests: int


@attrs.frozen
class Sum:
    """What came of many runs of one traffic under one guard."""

    traffic: Traffic
    guard: str
    runs: int
    acted: int
    median: float | None
    slowest_tenth: float | None


def run(traffic: Traffic, guards: Mapping[str, TrafficGuard], seed: int) -> Outcome:
    """Look after every request, as the leader does, until all guards have acted or the traffic ends."""
    drawn = draw(traffic, np.random.default_rng([seed, *traffic.name.encode()]))
    trial = _begun(traffic)
    metrics = {metric for guard in guards.values() for metric in guard.metrics}
    acted: dict[str, int | None] = dict.fromkeys(guards)
    weights = dict(drawn.weights)
    for number, (at, canary, failed, total_s, right) in enumerate(drawn):
        if number and number in weights:
            trial.weigh({CONTROL: 1 - weights[number], CANARY: weights[number]}, number)
        for metric in _heard(trial, metrics, at, canary, failed, total_s, right, number):
            for name, guard in guards.items():
                if acted[name] is None and worse(trial, guard, CANARY, metric):
                    acted[name] = number + 1
            if all(acted.values()):
                return Outcome(acted, number + 1)
    return Outcome(acted, len(drawn.at))


def _begun(traffic: Traffic) -> Trial:
    share = (traffic.ramp or (traffic.share,))[0]
    return Trial.of(CONTROL, {CONTROL: 1 - share, CANARY: share}, 0, 0.0)


def _heard(
    trial: Trial,
    metrics: set[Metric],
    at: float,
    canary: bool,
    failed: bool,
    total_s: float,
    right: bool,
    number: int,
) -> Sequence[Metric]:
    """Add a request up; return the metrics that the guard is asked about then, as in `Experiments`."""
    arm = CANARY if canary else CONTROL
    asked: list[Metric] = []
    if metrics & {"errors", "latency"}:
        own = total_s if "latency" in metrics and not failed else None
        ended = trial.called(number, arm, at, failed=failed and "errors" in metrics, total_s=own)
        asked += ["errors"] * (canary and failed and "errors" in metrics) + ["latency"] * ended
    if "labels" in metrics:
        trial.rated("labels", number, arm, float(right))
        asked += ["labels"] * canary
    return asked


def summed(
    traffic: Traffic, guards: Mapping[str, TrafficGuard], runs: int, pool: Executor | None = None
) -> list[Sum]:
    """Return what came of many runs, a sum for each guard."""
    one = partial(run, traffic, guards)
    outcomes = list(pool.map(one, range(runs), chunksize=8) if pool else map(one, range(runs)))
    found = []
    for name in guards:
        after = sorted(outcome.acted[name] or np.inf for outcome in outcomes)
        acted = sum(1 for one in after if np.isfinite(one))
        found.append(Sum(traffic, name, runs, acted, *(_at(after, part) for part in (0.5, 0.9))))
    return found


def _at(after: Sequence[float], part: float) -> float | None:
    found = after[min(len(after) - 1, int(part * len(after)))]
    return float(found) if np.isfinite(found) else None


__all__ = ["CANARY", "CONTROL", "Drawn", "Outcome", "Sum", "run", "summed"]
