"""What may be said of the difference of two rates, and how often that is wrong."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import binom

from prism_core.traffic.statistics.rates import (
    Pair,
    Rate,
    difference,
    interval,
    log_evidence,
)

counts = st.integers(0, 400)


@st.composite
def arms(draw):
    """An arm: numbers of records, whose values add up to anything possible."""
    n = draw(counts)
    return Rate(n, draw(st.floats(0, 1)) * n)


pairs = st.lists(st.builds(Pair, arms(), arms()), min_size=1, max_size=3)


def pair(n: int, total: float, m: int, sum_: float) -> Pair:
    return Pair(Rate(n, total), Rate(m, sum_))


@pytest.mark.parametrize("p", [0.001, 0.02, 0.3, 0.5, 0.97])
@pytest.mark.parametrize(("n", "m"), [(5, 5), (40, 3), (30, 60)])
def test_equal_rates_are_worth_no_more_than_one(n, m, p):
    """The exact expectation over all outcomes, not a simulation."""
    ones, others = binom.pmf(range(n + 1), n, p), binom.pmf(range(m + 1), m, p)

    expected = sum(
        ones[a] * others[b] * math.exp(log_evidence([pair(n, a, m, b)]))
        for a in range(n + 1)
        for b in range(m + 1)
    )

    assert 0 < expected <= 1


@pytest.mark.parametrize("weight", [0.5, 0.2])
@pytest.mark.parametrize(
    "outcomes",
    [
        [0] * 6 + [1] * 6,
        [1, 0] * 6,
        [1] * 12,
        [0.2, 0.9, 0.5] * 4,
        [0.0] * 11 + [1.0],
    ],
    ids=["outage", "alternating", "all", "between", "one"],
)
def test_a_random_draw_is_enough_whatever_the_outcomes_are(weight, outcomes):
    """Each request goes to an arm by chance; its outcome is the same in both. All draws are tried."""
    expected = 0.0
    for draw in itertools.product((0, 1), repeat=len(outcomes)):
        chance = math.prod(weight if one else 1 - weight for one in draw)
        both = Rate(), Rate()
        for one, value in zip(draw, outcomes, strict=True):
            both[one].add(value)
        expected += chance * math.exp(log_evidence([Pair(*both)]))

    assert expected <= 1


@settings(max_examples=60)
@given(pairs, st.floats(-0.9, 0.9))
def test_the_best_single_rate_is_found(some, gap):
    """The evidence against a difference is the least over all rates, as an optimizer finds it too."""
    one = some[0]

    def worse(rate: float) -> float:
        return -sum(
            arm.total * math.log(p) + (arm.n - arm.total) * math.log1p(-p)
            for arm, p in ((one.control, rate), (one.other, rate + gap))
        )

    low, high = max(0.0, -gap) + 1e-9, min(1.0, 1 - gap) - 1e-9
    found = minimize_scalar(worse, bounds=(low, high), method="bounded", options={"xatol": 1e-10}).fun
    mixture = log_evidence([one], 0.0) - log_evidence([one], gap)
    at_zero = one.control + one.other
    best = at_zero.mean
    likely = sum(
        part * math.log(max(p, 1e-300)) if part else 0.0
        for part, p in ((at_zero.total, best), (at_zero.n - at_zero.total, 1 - best))
    )

    assert mixture == pytest.approx(-found - likely, abs=1e-3)


@settings(max_examples=60, deadline=None)
@given(pairs, st.sampled_from([0.05, 0.01, 0.001]))
def test_an_interval_excludes_zero_where_the_evidence_does(some, alpha):
    """A verdict and its interval never contradict each other."""
    evidence, found = log_evidence(some), interval(some, alpha)

    if abs(evidence + math.log(alpha)) > 1e-6:
        assert (evidence > -math.log(alpha)) == (found.low > 0 or found.high < 0)
    assert -1 <= found.low <= found.high <= 1


def test_a_reward_too_small_to_be_told_from_nothing_is_no_evidence():
    assert log_evidence([Pair(Rate(1, 5e-324), Rate(1, 0.0))]) < 0


def test_times_in_which_one_arm_had_nothing_are_taken_in():
    some = [Pair(Rate(0, 0.0), Rate(1, 0.0)), Pair(Rate(1, 0.0), Rate(1, 1.0))]

    assert interval(some, 0.05).low < 0 < interval(some, 0.05).high


@given(pairs)
def test_values_may_come_in_any_order_and_parts(some):
    """Sums are all that counts, so gateways may report as they like."""
    assert log_evidence(some) == pytest.approx(log_evidence(some[::-1]), abs=1e-9)
    parts = [Rate(one.control.n / 2, one.control.total / 2) for one in some]
    again = [Pair(part + part, one.other) for part, one in zip(parts, some, strict=True)]
    assert log_evidence(again) == pytest.approx(log_evidence(some), abs=1e-9)


def test_nothing_is_known_without_records():
    found = interval([pair(0, 0, 0, 0)], 0.05)

    assert (found.low, found.high) == (-1, 1)
    assert log_evidence([pair(0, 0, 0, 0)]) == pytest.approx(0)


def test_traffic_that_drifts_while_weights_change_is_not_compared_across_the_change():
    """Simpson's paradox: equal in each time, very different in all."""
    day = pair(9000, 90, 1000, 10)
    night = pair(1000, 200, 9000, 1800)
    whole = Pair(day.control + night.control, day.other + night.other)

    assert log_evidence([whole]) > 100
    assert log_evidence([day, night]) < 0
    assert difference([day, night]) == pytest.approx(0)


def test_a_share_that_always_fails_is_found_within_a_few_dozen_requests():
    failing = [log_evidence([pair(n, 0, n, n)]) for n in range(40)]

    assert next(n for n, log in enumerate(failing) if log > math.log(1 / 0.0025)) == 8


def test_continuous_looks_are_wrong_less_often_than_alpha():
    """A look after each of 400 requests; a t-test that is repeated so would be wrong in a third of runs."""
    generator, runs, alpha = np.random.default_rng(8), 300, 0.2
    wrong = 0
    for _ in range(runs):
        arms, values = generator.random(400) < 0.5, generator.random(400) < 0.1
        both = Rate(), Rate()
        for arm, value in zip(arms, values, strict=True):
            both[int(arm)].add(float(value))
            if log_evidence([Pair(*both)]) > -math.log(alpha):
                wrong += 1
                break

    assert wrong <= binom.ppf(0.999, runs, alpha)
