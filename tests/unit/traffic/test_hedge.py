"""When a second replica is asked, and how often."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prism_core.traffic.hedge import MOST_SAVED, Budget, RecentTimes

times = st.floats(2e-5, 100)


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 100), st.lists(st.booleans(), max_size=400))
def test_second_questions_are_never_more_than_the_budget(percent, wishes):
    """Each request may wish for some; after any number of requests they are within the budget."""
    budget, spent = Budget(), 0
    for requests, wishes_two in enumerate(wishes, 1):
        budget.earn(percent)
        spent += sum(budget.spend() for _ in range(1 + wishes_two))
        assert spent <= requests * percent / 100 + 1e-6


@settings(max_examples=30, deadline=None)
@given(st.floats(0.5, 100))
def test_the_whole_budget_can_be_had(percent):
    budget = Budget()
    spent = 0
    for _ in range(1000):
        budget.earn(percent)
        spent += budget.spend()

    assert spent == pytest.approx(10 * percent, abs=1)


def test_what_is_saved_is_bounded():
    budget = Budget()
    for _ in range(100_000):
        budget.earn(5)

    assert sum(budget.spend() for _ in range(1000)) == MOST_SAVED


@settings(max_examples=100, deadline=None)
@given(st.floats(1, 100), st.lists(times, min_size=20, max_size=600))
def test_most_answers_came_within_the_time_that_is_told(percentile, seconds):
    recent = RecentTimes(percentile)
    for one in seconds:
        recent.add(one)

    exact = sorted(seconds)[max(0, math.ceil(len(seconds) * percentile / 100 - 1e-9) - 1)]
    assert exact <= recent.most_s * 1.000001 <= exact * 1.0501


def test_a_few_answers_say_nothing():
    recent = RecentTimes(95)
    for _ in range(19):
        recent.add(0.01)

    assert recent.most_s == 0.0


@pytest.mark.parametrize(("before", "now"), [(0.001, 0.1), (0.1, 0.001)])
def test_what_was_long_ago_is_forgotten(before, now):
    recent = RecentTimes(95)
    for one in (before, now):
        for _ in range(10_000):
            recent.add(one)

    assert recent.most_s == pytest.approx(now, rel=0.06)


def test_times_beyond_all_bounds_are_taken_too():
    recent = RecentTimes(100)
    for one in (0.0, 1e-9, 1e9) * 10:
        recent.add(one)

    assert recent.most_s > 100
