"""When requests are due: a function of when they came."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_core.traffic.replaying.pacing import Pacing, wait_s

TIMES = st.lists(st.floats(0, 1e6), min_size=1, max_size=30).map(sorted)
SPEEDS = st.floats(0.1, 100)


def dues(times: list[float], speed: float = 1.0, max_gap_s: float = 0.0) -> list[float]:
    pacing = Pacing(speed, max_gap_s)
    return [pacing.due(at) for at in times]


@given(TIMES, SPEEDS)
def test_the_distances_are_those_of_the_recording(times, speed):
    assert dues(times, speed) == pytest.approx([(at - times[0]) / speed for at in times], abs=1e-3)


@given(TIMES, SPEEDS, st.floats(0.001, 10))
def test_no_silence_is_longer_than_it_may_be_and_all_others_stay(times, speed, most):
    found = dues(times, speed, most)
    for at in range(1, len(times)):
        gap = (times[at] - times[at - 1]) / speed
        assert found[at] - found[at - 1] == pytest.approx(min(gap, most), abs=1e-6)


def test_what_came_at_once_is_due_at_once():
    assert dues([5.0, 5.0, 5.0]) == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("due", "now", "expected"), [(2.0, 1.5, 0.5), (2.0, 2.0, 0.0), (2.0, 9.0, 0.0), (2.0, 1.9995, 0.0)]
)
def test_nobody_waits_for_what_is_due(due, now, expected):
    assert wait_s(due, now) == pytest.approx(expected)
