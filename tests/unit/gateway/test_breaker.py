"""The circuit breaker, by table and by property."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_core.gateway.breaker import Breaker, Circuit

FAIL, WORK = "fail", "work"

# (second, what happens) ... -> state, and whether a call is allowed at the last second. Three
# failures open it; the first pause is 1 s, the longest 4 s.
TABLE = [
    ([], Circuit.CLOSED, True),
    ([(0, FAIL), (0, FAIL)], Circuit.CLOSED, True),
    ([(0, FAIL), (0, FAIL), (0, WORK), (0, FAIL)], Circuit.CLOSED, True),
    ([(0, FAIL), (0, FAIL), (0, FAIL)], Circuit.OPEN, False),
    ([(0, FAIL), (0, FAIL), (0, FAIL), (0.9, "ask")], Circuit.OPEN, False),
    ([(0, FAIL), (0, FAIL), (0, FAIL), (1, "ask")], Circuit.HALF_OPEN, False),
    ([(0, FAIL), (0, FAIL), (0, FAIL), (1, "ask"), (1, WORK)], Circuit.CLOSED, True),
    ([(0, FAIL), (0, FAIL), (0, FAIL), (1, "ask"), (1, FAIL)], Circuit.OPEN, False),
    ([(0, FAIL), (0, FAIL), (0, FAIL), (1, "ask"), (1, FAIL), (2.9, "ask")], Circuit.OPEN, False),
    ([(0, FAIL), (0, FAIL), (0, FAIL), (1, "ask"), (1, FAIL), (3, "ask")], Circuit.HALF_OPEN, False),
    # What was asked before it opened may still come, and changes nothing.
    ([(0, FAIL), (0, FAIL), (0, FAIL), (0.5, WORK)], Circuit.OPEN, False),
    ([(0, FAIL), (0, FAIL), (0, FAIL), (0.9, FAIL), (1, "ask")], Circuit.HALF_OPEN, False),
    # A trial that says nothing is followed by another.
    ([(0, FAIL), (0, FAIL), (0, FAIL), (1, "ask"), (1.9, "ask")], Circuit.HALF_OPEN, False),
]


def played(steps, breaker):
    now = 0.0
    for now, what in steps:
        if what == FAIL:
            breaker.failed(now)
        elif what == WORK:
            breaker.succeeded()
        else:
            breaker.allows(now)
    return now


@pytest.mark.parametrize(("steps", "state", "allowed"), TABLE)
def test_the_states(steps, state, allowed):
    breaker = Breaker(patience=3, first_s=1, longest_s=4)
    now = played(steps, breaker)

    assert breaker.state is state
    assert breaker.allows(now) is allowed


def test_pauses_double_up_to_the_longest_and_start_anew_after_success():
    breaker, now, pauses = Breaker(patience=1, first_s=1, longest_s=5), 0.0, []
    for _ in range(5):
        breaker.failed(now)
        pause = next(s / 2 for s in range(100) if breaker.allows(now + s / 2))
        pauses.append(pause)
        now += pause
    breaker.succeeded()
    breaker.failed(now)

    assert pauses == [1, 2, 4, 5, 5]
    assert not breaker.allows(now + 0.5)
    assert breaker.allows(now + 1)


STEPS = st.lists(st.tuples(st.floats(0, 3), st.sampled_from([FAIL, WORK, "ask"])), max_size=50)


@given(STEPS, st.integers(1, 4))
def test_it_never_shuts_for_good(steps, patience):
    """Whatever happened, and whoever went away during a trial: after the longest pause one may try."""
    breaker, now = Breaker(patience, first_s=1, longest_s=4), 0.0
    for wait, what in steps:
        now += wait
        played([(now, what)], breaker)

    assert breaker.allows(now + 4)
    breaker.succeeded()
    assert breaker.state is Circuit.CLOSED


@given(STEPS)
def test_what_is_down_is_seldom_asked(steps):
    """While every call fails, calls that go through are at least a pause apart."""
    breaker, now, tried = Breaker(patience=1, first_s=1, longest_s=4), 0.0, []
    for wait, _ in steps:
        now += wait
        if breaker.allows(now):
            tried.append(now)
            breaker.failed(now)

    # 1.001 - 0.001 is a little less than 1.
    assert all(later - earlier >= 1 - 1e-9 for earlier, later in pairwise(tried))
