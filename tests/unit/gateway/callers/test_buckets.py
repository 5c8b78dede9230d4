"""Never more than burst + rate * t, never less than was promised, and never more memory than said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_core.gateway.callers.buckets import Buckets, Pace
from prism_core.rates import Rate

RATES = st.builds(Rate, st.integers(1, 1000), st.sampled_from([1, 10, 60, 3600]), st.integers(1, 50))
# Pauses between requests, in units of the time in which one is earned.
PAUSES = st.lists(st.sampled_from([0.0, 0.01, 0.3, 0.5, 1.0, 1.7, 40.0]), min_size=1, max_size=120)


def ask(buckets: Buckets, pace: Pace, subject: str, now: float) -> float:
    """Return 0.0 where the request came in, else how long it has to wait."""
    ahead_s = buckets.ahead_s(subject, now)
    wait_s = pace.wait_s(ahead_s)
    if not wait_s:
        buckets.set_ahead(subject, now, ahead_s + pace.interval_s)
    return wait_s


@pytest.mark.parametrize(
    ("text", "at", "let_in"),
    [
        ("1/s", [0, 0, 0.5, 1, 1.5, 2], [1, 0, 0, 1, 0, 1]),
        ("2/s", [0, 0, 0, 0.4, 0.5, 0.6, 1], [1, 1, 0, 0, 1, 0, 1]),
        ("1/s burst 3", [0, 0, 0, 0, 1, 1, 10, 10, 10, 10], [1, 1, 1, 0, 1, 0, 1, 1, 1, 0]),
        ("60/min burst 1", [0, 0.9, 1.0, 1.9, 2.0], [1, 0, 1, 0, 1]),
    ],
)
def test_who_comes_in(text, at, let_in):
    buckets, pace = Buckets(), Pace.of(Rate.parse(text))

    assert [not ask(buckets, pace, "a", 100 + now) for now in at] == [bool(one) for one in let_in]


@given(RATES, PAUSES, st.floats(0, 1e6))
def test_no_window_holds_more_than_burst_and_rate(rate, pauses, now):
    buckets, pace = Buckets(), Pace.of(rate)
    came_in = []
    for pause in pauses:
        now += pause * pace.interval_s
        if not ask(buckets, pace, "a", now):
            came_in.append(now)

    for first in range(len(came_in)):
        for last in range(first, len(came_in)):
            t = came_in[last] - came_in[first]
            assert last - first + 1 <= rate.burst + t / pace.interval_s + 0.01


@given(RATES, PAUSES)
def test_who_waits_as_told_comes_in(rate, pauses):
    """And not a moment earlier: `Retry-After` is neither a lie nor a waste."""
    buckets, pace, now = Buckets(), Pace.of(rate), 50.0
    for pause in pauses:
        now += pause * pace.interval_s
        wait_s = ask(buckets, pace, "a", now)
        if wait_s > pace.interval_s * 0.001:
            assert ask(buckets, pace, "a", now + wait_s - pace.interval_s * 0.001) > 0
            now += wait_s + 1e-9
            assert ask(buckets, pace, "a", now) == 0


@given(RATES, PAUSES)
def test_what_is_left_can_be_had(rate, pauses):
    buckets, pace, now = Buckets(), Pace.of(rate), 50.0
    for pause in pauses:
        now += pause * pace.interval_s
        ask(buckets, pace, "a", now)
    left = pace.state(buckets.ahead_s("a", now))[0]

    assert 0 <= left <= rate.burst
    assert [ask(buckets, pace, "a", now) for _ in range(left)] == [0.0] * left
    assert ask(buckets, pace, "a", now) > 0


@given(RATES, st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 2)), max_size=80))
def test_subjects_know_nothing_of_each_other(rate, asked):
    together, pace, now = Buckets(), Pace.of(rate), 50.0
    alone = {subject: Buckets() for subject in "abc"}
    for subject, pause in asked:
        now += pause * pace.interval_s
        assert ask(together, pace, subject, now) == ask(alone[subject], pace, subject, now)


def test_made_up_subjects_do_not_fill_the_memory():
    buckets, pace = Buckets(most=100), Pace.of(Rate.parse("1/h"))

    for number in range(10_000):
        ask(buckets, pace, str(number), 1.0)

    assert len(buckets) <= 200


def test_one_that_keeps_asking_is_remembered_among_made_up_ones():
    buckets, pace = Buckets(most=100), Pace.of(Rate.parse("2/h burst 1000"))

    let_in = 0
    for number in range(20_000):
        ask(buckets, pace, str(number), 1.0)
        if number % 50 == 0:
            let_in += not ask(buckets, pace, "busy", 1.0)

    assert let_in == 400
    assert pace.state(buckets.ahead_s("busy", 1.0))[0] == 600


def test_subjects_that_are_gone_are_forgotten():
    buckets, pace = Buckets(), Pace.of(Rate.parse("10/s"))
    for number in range(1000):
        ask(buckets, pace, str(number), 5.0)

    ask(buckets, pace, "one", 6.5)
    ask(buckets, pace, "two", 8.0)

    assert len(buckets) == 2
