"""What an outcome says of times, and which bounds it breaks."""

from __future__ import annotations

import random

import attrs
import pytest

from prism_core.traffic.replaying.latency import Slowdown, Times, quantiles_ms, times_of
from prism_core.traffic.replaying.outcome import Bounds, Outcome, Pace, broken

QUICK = Times(200, {"p95": 10.0}, {"p95": 10.5}, {"p95": Slowdown(0.05, -0.1, 0.2)})
GOOD = Outcome(
    model="churn",
    baseline="churn/3",
    candidate="churn/4",
    requests=200,
    since=0.0,
    until=1.0,
    compared_rows=1000,
    differing_rows=5,
    interval=(0.0, 0.01),
    uncompared={},
    baseline_errors={},
    candidate_errors={},
    new_errors=0,
    outputs=[],
    slices=[],
    examples=[],
    times=QUICK,
    pace=Pace(True, {}, 0.0, 1, 1),
)
ALL = Bounds(max_disagreement=0.01, max_slowdown=0.1, max_errors=0)


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({}, []),
        ({"differing_rows": 10}, []),
        ({"differing_rows": 11}, ["max-disagreement"]),
        ({"compared_rows": 0, "differing_rows": 0}, ["max-disagreement"]),
        ({"times": attrs.evolve(QUICK, slowdown={"p95": Slowdown(0.1, 0.01, 0.2)})}, []),
        ({"times": attrs.evolve(QUICK, slowdown={"p95": Slowdown(0.11, 0.01, 0.2)})}, ["max-slowdown"]),
        ({"times": attrs.evolve(QUICK, slowdown={"p95": Slowdown(0.11, -0.01, 0.2)})}, []),
        ({"times": Times(20, {}, {}, {})}, ["max-slowdown"]),
        ({"new_errors": 1, "candidate_errors": {"model_failed": 1}}, ["max-errors"]),
        ({"baseline_errors": {"model_failed": 9}, "candidate_errors": {"model_failed": 9}}, []),
    ],
)
def test_a_bound_breaks_beyond_what_it_says_and_where_nothing_can_be_told(change, names):
    assert [line.partition(":")[0] for line in broken(attrs.evolve(GOOD, **change), ALL)] == names


def test_without_bounds_nothing_breaks():
    worst = attrs.evolve(GOOD, differing_rows=1000, new_errors=200)
    assert broken(worst, Bounds()) == []


def test_quantiles_are_told_of_which_enough_is_known():
    assert set(quantiles_ms([0.001] * 9)) == set()
    assert set(quantiles_ms([0.001] * 10)) == {"p50"}
    assert quantiles_ms([at / 1000 for at in range(501)]) == pytest.approx(
        {"p50": 250, "p95": 475, "p99": 495}
    )


def test_how_much_slower_comes_with_what_is_uncertain():
    drawn = random.Random(1)
    baseline = [drawn.lognormvariate(-5, 0.3) for _ in range(2000)]
    slower = times_of(baseline, [one * 1.2 for one in baseline]).slowdown
    assert all(one.change == pytest.approx(0.2) for one in slower.values())
    again = times_of(baseline, [drawn.lognormvariate(-5, 0.3) for _ in range(2000)]).slowdown["p95"]
    assert again.low < 0 < again.high


def test_a_machine_that_is_slow_for_a_moment_proves_nothing():
    """Both are alike; one was met by three slow moments. Pair by pair that would seem certain."""
    drawn = random.Random(3)
    baseline = [drawn.lognormvariate(-5, 0.3) for _ in range(2000)]
    moments = [*range(100, 150), *range(900, 950), *range(1500, 1550)]
    candidate = [2 * one if at in moments else one for at, one in enumerate(baseline)]
    slower = times_of(baseline, candidate).slowdown["p95"]
    assert slower.change > 0.1
    assert slower.low < 0.05
