"""Which requests shadows are asked, and when."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_core.traffic.shadowing import QUIET_S, SHARE, Pace, sampled

requests = st.sampled_from([f"request-{number}" for number in range(500)])


@given(requests, st.floats(0, 100), st.floats(0, 100))
def test_what_a_smaller_percentage_asks_a_larger_one_asks_too(request_id, one, other):
    if sampled(request_id, min(one, other)):
        assert sampled(request_id, max(one, other))


@given(requests, st.floats(0, 100))
def test_a_request_is_asked_always_or_never(request_id, percent):
    assert sampled(request_id, percent) == sampled(request_id, percent)


@pytest.mark.parametrize(("percent", "low", "high"), [(0, 0, 0), (20, 1800, 2200), (100, 10_000, 10_000)])
def test_so_many_in_a_hundred(percent, low, high):
    assert low <= sum(sampled(f"r{number}", percent) for number in range(10_000)) <= high


def test_without_traffic_there_is_nothing_to_wait_for():
    pace = Pace()
    pace.answered(5.0, 100.0)

    assert pace.wait_s(100.0) == 0


def test_who_has_not_computed_need_not_rest():
    pace = Pace()
    pace.live(100.0)

    assert pace.wait_s(100.0) == 0


@pytest.mark.parametrize("took_s", [0.0005, 0.02, 3.0])
def test_under_traffic_shadows_compute_for_their_share_of_the_time(took_s):
    pace, now, worked = Pace(), 0.0, 0.0
    while now < 1000:
        pace.live(now)  # there is always some
        wait_s = pace.wait_s(now)
        now += min(wait_s, 0.1) if wait_s else took_s
        if not wait_s:
            worked += took_s
            pace.live(now)
            pace.answered(took_s, now)

    assert worked / now == pytest.approx(SHARE, rel=0.2)


def test_who_was_slow_rests_no_longer_than_there_is_traffic():
    pace = Pace()
    pace.live(100.0)
    pace.answered(30.0, 100.0)

    assert pace.wait_s(100.0) == pytest.approx(QUIET_S)
    assert pace.wait_s(100.0 + QUIET_S) == 0


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 10), st.floats(0, 10)), max_size=20))
def test_nobody_waits_longer_than_the_traffic_and_the_quiet_after_it(steps):
    pace, now, live = Pace(), 0.0, float("-inf")
    for is_live, later_s, took_s in steps:
        now += later_s
        if is_live:
            pace.live(now)
            live = now
        else:
            pace.answered(took_s, now)
        assert 0 <= pace.wait_s(now) <= max(0.0, live + QUIET_S - now) + 1e-9
