"""The simulations of experiments, smaller: false roll-backs stay under alpha, faults are found."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
from scipy.stats import binom

from bench.experiments import rivals, tables
from bench.experiments.runs import CANARY, run, summed
from bench.experiments.scenes import ALIKE, FAULTS, GUARDS
from bench.experiments.traffic import Traffic, draw
from prism_core.traffic.experiment import TrafficGuard
from prism_core.traffic.statistics.rates import Pair, Rate, log_evidence

ALPHA = 0.05
STRICT = {"": TrafficGuard(metrics=("errors", "latency", "labels"), alpha=ALPHA, max_latency_percent=0.0)}
# Versions that are disturbed by themselves for longer than a slice: what is not guaranteed, and told.
LASTING = {"a version disturbed for 1 s", "a version disturbed for 3 s", "a version disturbed for 10 s"}


QUICK = {"drift and outages", "weights 1, 5, 20, 50 % while all drifts"}
KEPT = [one for one in ALIKE if one.name not in LASTING]


def check_alike(traffic: Traffic, n: int, runs: int) -> None:
    """The bound is what a guard that keeps alpha passes 999 times of a thousand."""
    (found,) = summed(attrs.evolve(traffic, n=n, per_s=20.0), STRICT, runs)

    assert found.acted <= binom.ppf(0.999, runs, ALPHA)


@pytest.mark.parametrize("traffic", [one for one in KEPT if one.name in QUICK], ids=lambda one: one.name)
def test_versions_that_are_alike_are_rolled_back_less_often_than_alpha(traffic):
    """With a look after every request."""
    check_alike(traffic, n=1500, runs=15)


@pytest.mark.sweep
@pytest.mark.parametrize("traffic", KEPT, ids=lambda one: one.name)
def test_so_it_is_in_longer_and_more_runs(traffic):
    check_alike(traffic, n=3000, runs=20)


@pytest.mark.parametrize(
    ("says", "share", "most"),
    [
        ("every request fails", 0.5, 40),
        ("every request fails", 0.1, 120),
        ("errors + 50 points", 0.5, 160),
        ("errors + 5 points", 0.5, 3000),
        ("latency x 3", 0.5, 3000),
        ("latency + 50 %", 0.5, 4000),
        ("labels - 5 points", 0.5, 25_000),
    ],
)
def test_faults_are_found_within_so_many_requests(says, share, most):
    (fault,) = (one for one in FAULTS if one.says == says)
    traffic = attrs.evolve(fault.traffic, share=share, n=most)

    found = [run(traffic, {"": fault.guard}, seed).acted[""] for seed in range(2)]

    assert None not in found


def test_a_fault_that_comes_late_is_not_found_before():
    (fault,) = (one for one in FAULTS if one.traffic.after)
    (found,) = summed(attrs.evolve(fault.traffic, n=10_300), {"": fault.guard}, runs=2)

    assert found.acted == 2
    assert found.median > fault.traffic.after


def test_what_is_drawn_is_what_was_asked_for():
    traffic = Traffic("x", share=0.2, n=20_000, errors=0.05, labels=0.9, more_errors=0.1, slower=2.0)
    drawn = draw(traffic, np.random.default_rng(1))
    canary, failed = np.array(drawn.canary), np.array(drawn.failed)

    assert canary.mean() == pytest.approx(0.2, abs=0.01)
    assert failed[~canary].mean() == pytest.approx(0.05, abs=0.01)
    assert failed[canary].mean() == pytest.approx(0.15, abs=0.02)
    assert np.mean(drawn.right) == pytest.approx(0.9, abs=0.01)
    total_s = np.array(drawn.total_s)
    assert np.median(total_s[canary]) / np.median(total_s[~canary]) == pytest.approx(2, abs=0.1)


def test_a_disturbance_lasts_as_long_as_it_is_said_to():
    traffic = Traffic("x", n=100_000, own_s=1.0, own=1.0)
    log_s = np.log(draw(attrs.evolve(traffic, share=0.0), np.random.default_rng(1)).total_s)
    within = np.corrcoef(log_s[:-50], log_s[50:])[0, 1] * (1 + 0.25)  # the noise of requests is not in it

    assert within == pytest.approx(np.exp(-1), abs=0.05)


def test_many_runs_at_once_are_reckoned_as_one_is():
    chance = np.random.default_rng(2)
    n, m = chance.integers(1, 500, (2, 50))
    s, t = (chance.random((2, 50)) * (n, m)).round()

    found = rivals.log_ours(s, n, t, m)

    one_by_one = [
        log_evidence([Pair(Rate(*a), Rate(*b))])
        for a, b in zip(zip(n, s, strict=True), zip(m, t, strict=True), strict=True)
    ]
    np.testing.assert_allclose(found, one_by_one, atol=1e-9)


def test_rivals_are_compared_in_requests():
    found = rivals.soon(0.01, 0.99, 0.5, runs=5, n=100, alpha=0.01, seed=1)

    assert {name for name, after in found.items() if np.isfinite(after).all()} >= {"ours", "one by one"}
    assert rivals.width_joint(0.01, 1000, 0.05) < rivals.width_two(0.01, 1000, 0.05)
    assert rivals.width_once(0.01, 1000, 0.05) < rivals.width_joint(0.01, 1000, 0.05)


def test_tables_say_what_was_never_found():
    traffic = Traffic("none", n=200)
    sums = summed(traffic, GUARDS, runs=2)

    assert tables.after(sums[0]) == "not within 200"
    assert "| none | 2 | 200 | 0 (0.0%, at most " in tables.alike(sums)
    assert CANARY == "m/2"
