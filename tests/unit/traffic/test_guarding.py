"""When a share is worse for certain, and when the guard keeps still."""

from __future__ import annotations

import random

import pytest

from prism_core.traffic.experiment import TrafficGuard
from prism_core.traffic.guarding import worse
from prism_core.traffic.trial import Trial

GUARD = TrafficGuard()
CANARY = "m/2"


def made(weights=(50.0, 50.0)) -> Trial:
    return Trial.of("m/1", dict(zip(("m/1", CANARY), weights, strict=True)), 1, 0.0)


def feed(trial, n, *, share=0.5, control=0.0, canary=0.0, slower=1.0, begin=0, seed=3, guard=GUARD):
    """Add calls up until the guard speaks; return after how many, and what it says."""
    chance = random.Random(seed)
    for number in range(n):
        arm = CANARY if chance.random() < share else "m/1"
        failed = chance.random() < (canary if arm == CANARY else control)
        total_s = chance.lognormvariate(-4, 0.5) * (slower if arm == CANARY else 1.0)
        at = begin + number / 50
        ended = trial.called(1, arm, at, failed=failed, total_s=None if failed else total_s)
        why = worse(trial, guard, CANARY, "errors") if failed and arm == CANARY else ""
        why = why or (worse(trial, guard, CANARY, "latency") if ended else "")
        if why:
            return number + 1, why
    return n, ""


@pytest.mark.parametrize(("share", "most"), [(0.5, 40), (0.1, 100)])
def test_a_share_that_always_fails_is_found_within_a_few_dozen_requests(share, most):
    asked, why = feed(made(), 1000, share=share, control=0.001, canary=1.0)

    assert asked < most
    assert why == "100.00% of its requests failed, 0.00% of the control's"


def test_so_it_is_after_a_long_good_time():
    """The records of all time would take a hundred failures; those of the window take a few dozen."""
    trial = made()
    assert feed(trial, 20_000, control=0.02, canary=0.02)[1] == ""
    asked, why = feed(trial, 1000, control=0.02, canary=1.0, begin=400, seed=4)

    assert asked < 130
    assert "of its requests failed" in why


def test_a_slow_share_is_found_and_said():
    asked, why = feed(made(), 5000, slower=2.0)

    assert asked < 3000
    assert why.startswith("it takes ")
    assert "longer than the control" in why


def test_a_little_slower_is_let_be():
    assert feed(made(), 20_000, slower=1.05)[1] == ""


def test_more_errors_than_the_margin_are_found_and_fewer_are_not():
    guard = TrafficGuard(max_error_percent=5.0)

    assert feed(made(), 8000, control=0.01, canary=0.03, guard=guard)[1] == ""
    assert feed(made(), 8000, control=0.01, canary=0.15, guard=guard)[1]


def test_it_keeps_still_while_the_control_is_failing():
    assert feed(made(), 2000, control=0.9, canary=1.0)[1] == ""


@pytest.mark.parametrize("metric", ["labels", "agreement"])
def test_worse_answers_are_found_where_it_is_asked_to_watch_them(metric):
    guard, trial, chance = TrafficGuard(metrics=(metric,)), made(), random.Random(1)
    for _ in range(1500):
        trial.rated(metric, 1, "m/1", float(chance.random() < 0.9))
        trial.rated(metric, 1, CANARY, float(chance.random() < 0.7))

    assert worse(trial, guard, CANARY, metric)
    assert worse(trial, GUARD, CANARY, metric) == ""


def test_better_is_never_worse():
    trial, chance = made(), random.Random(1)
    guard = TrafficGuard(metrics=("errors", "labels", "latency"))
    for number in range(4000):
        trial.called(1, "m/1", number / 50, failed=chance.random() < 0.2, total_s=0.02)
        trial.called(1, CANARY, number / 50, failed=False, total_s=0.01)
        trial.rated("labels", 1, "m/1", 0.2)
        trial.rated("labels", 1, CANARY, 0.9)

    assert [worse(trial, guard, CANARY, metric) for metric in guard.metrics] == ["", "", ""]


def test_weights_that_change_while_traffic_drifts_make_nobody_worse():
    """Simpson's paradox: by day few errors and little of the canary, by night both are many."""
    trial = made((90.0, 10.0))
    feed(trial, 5000, share=0.1, control=0.001, canary=0.001)
    trial.weigh({"m/1": 10.0, CANARY: 90.0}, 2)
    chance = random.Random(9)
    for number in range(5000):
        arm = CANARY if chance.random() < 0.9 else "m/1"
        failed = chance.random() < 0.2
        trial.called(2, arm, 200 + number / 50, failed=failed, total_s=None)
        assert not (failed and worse(trial, GUARD, CANARY, "errors"))
