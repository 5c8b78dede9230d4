"""Replicas by Little's law: by table and by property."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_core.gateway.scaling import REMEMBERED_LOOKS, UTILISATION, Bounds, Load, Scale

FREE = Bounds(fewest=1, most=100, cores=100, affordable=100)
IDLE = Load(0, 0.0)


@pytest.mark.parametrize(
    ("load", "wanted"),
    [
        (IDLE, 1),
        (Load(10, 0.07), 1),
        (Load(10, 0.08), 2),
        (Load(100, 0.07), 10),
        (Load(0, 0.5, waiting=7), 5),
        (Load(10, 0.0), 1),
    ],
    ids=str,
)
def test_as_many_as_are_busy_with_room_for_unevenness(load, wanted):
    assert load.wanted == wanted


@given(st.floats(0, 1e4), st.floats(0, 10), st.floats(0, 1e4))
def test_the_wanted_replicas_are_enough_and_one_less_is_not(rate, service, waiting):
    load = Load(rate, service, waiting)

    assert load.wanted * UTILISATION >= load.concurrency - 1e-6
    assert load.wanted == 1 or (load.wanted - 1) * UTILISATION <= load.concurrency + 1e-6


@given(st.integers(0, 50), st.integers(1, 50), st.integers(1, 50), st.integers(0, 50), st.integers(1, 200))
def test_bounds_hold_and_the_fewest_wins(fewest, most, cores, affordable, wanted):
    clipped = Bounds(fewest, most, cores, affordable).clip(wanted)

    assert clipped >= fewest
    assert clipped <= max(fewest, min(most, cores, affordable))


def test_a_crew_grows_at_once():
    assert Scale().target(Load(100, 0.07), 1, FREE) == 10


def test_a_crew_shrinks_when_nothing_has_needed_more_for_a_while():
    scale = Scale()
    scale.target(Load(100, 0.07), 1, FREE)
    while_remembered = [scale.target(Load(30, 0.07), 10, FREE) for _ in range(REMEMBERED_LOOKS - 1)]

    assert set(while_remembered) == {10}
    assert scale.target(Load(30, 0.07), 10, FREE) == 3


def test_a_crew_that_is_larger_than_it_may_be_shrinks_to_that():
    assert Scale().target(Load(100, 0.07), 5, Bounds(1, 3, 100, 100)) == 3
