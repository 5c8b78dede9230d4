"""What is done about a tunnel, and when: tables and properties of pure values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_core.errors import TunnelFailed
from prism_core.gateway.upkeep import Look, Patience, Vigil, lost, reached, refused, tried, up
from prism_core.gateway.views import TunnelInfo

PATIENCE = Patience()
NEW = TunnelInfo("t", "connecting", since=1.0)
UP = TunnelInfo("t", "up", "http://a", 5.0)


# --- states ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "change", "after"),
    [
        (NEW, lambda i: tried(i, 2.0), TunnelInfo("t", "connecting", since=1.0, attempts=1)),
        (NEW, lambda i: up(i, "http://a", 2.0), TunnelInfo("t", "up", "http://a", 2.0)),
        (UP, lambda i: up(i, "http://b", 9.0), TunnelInfo("t", "up", "http://b", 5.0)),
        (UP, lambda i: tried(i, 9.0), UP),
        (UP, lambda i: lost(i, "Cut.", 9.0), TunnelInfo("t", "down", "http://a", 9.0, "Cut.")),
        (
            TunnelInfo("t", "down", "http://a", 9.0, "Cut."),
            lambda i: tried(i, 12.0),
            TunnelInfo("t", "down", "http://a", 9.0, "Cut.", 1),
        ),
        (
            TunnelInfo("t", "down", "http://a", 9.0, "Cut.", 3),
            lambda i: refused(i, "No.", 20.0),
            TunnelInfo("t", "failed", "http://a", 20.0, "No.", 3),
        ),
        (
            TunnelInfo("t", "failed", "", 20.0, "No.", 3),
            lambda i: tried(i, 30.0),
            TunnelInfo("t", "connecting", "", 30.0, "", 4),
        ),
    ],
)
def test_what_is_told_of_a_tunnel(before, change, after):
    assert change(before) == after


CHANGES = [
    lambda i, now: tried(i, now),
    lambda i, now: up(i, "http://x", now),
    lambda i, now: lost(i, "Cut.", now),
    lambda i, now: refused(i, "No.", now),
]


@given(st.lists(st.tuples(st.sampled_from(CHANGES), st.floats(0.1, 100))))
def test_what_is_told_is_always_whole(changes):
    """It is up without a reason, or not up and has one unless nothing has come of the first try yet."""
    info, now, was_up = NEW, 1.0, False
    for change, passed in changes:
        before, now = info, now + passed
        info = change(info, now)
        was_up |= info.state == "up"

        assert bool(info.reason) == (info.state in ("down", "failed"))
        assert info.since == (before.since if info.state == before.state else now)
        assert bool(info.url) == was_up
        assert info.attempts == 0 or info.state != "up"


# --- when ------------------------------------------------------------------------------------


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_a_wait_is_within_its_bounds(failures, chance):
    assert PATIENCE.first_s <= PATIENCE.delay_s(failures, chance) <= PATIENCE.longest_s


@given(st.integers(1, 30), st.floats(0, 1, exclude_max=True))
def test_a_wait_grows(failures, chance):
    assert PATIENCE.delay_s(failures, chance) <= PATIENCE.delay_s(failures + 1, chance)


@pytest.mark.parametrize(
    ("before", "up_s", "failures"), [(0, 0.0, 1), (3, 0.0, 4), (3, 9.0, 4), (3, 10.0, 0), (0, 600.0, 0)]
)
def test_failures_in_a_row(before, up_s, failures):
    assert PATIENCE.failures(before, up_s) == failures


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_who_reached_nobody_tries_again_soon(failures, chance):
    """However long the network was away: when it is back, so is the link."""
    assert PATIENCE.first_s <= PATIENCE.delay_s(failures, chance, reached=False) <= PATIENCE.away_s


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (TunnelFailed("It is away.", details={"reached": False}), False),
        (TunnelFailed("It threw us out."), True),
        (RuntimeError("It is broken."), True),
    ],
)
def test_a_provider_says_that_it_reached_nobody(error, found):
    assert reached(error) is found


def test_what_has_worked_for_long_is_tried_again_at_once():
    assert PATIENCE.delay_s(0, 0.9) == 0.0


@pytest.mark.parametrize(
    ("probes", "notices", "answered", "over", "wait_s"),
    [
        ("+", False, True, False, 30.0),
        ("+", True, True, False, 300.0),
        ("+-", False, True, False, 2.0),
        ("+-+", False, True, False, 30.0),
        ("+--", False, True, True, 2.0),
        ("+-+-", False, True, False, 2.0),
        ("-", False, False, False, 0.2),
        ("------", False, False, False, 5.0),
        ("-----+", False, True, False, 30.0),
    ],
)
def test_a_vigil(probes, notices, answered, over, wait_s):
    vigil = Vigil(PATIENCE, 100.0, notices=notices)
    for number, probe in enumerate(probes):
        vigil = vigil.heard(probe == "+", 100.0 + number)

    assert (vigil.answered, vigil.over, vigil.wait_s) == (answered, over, wait_s)


def test_an_address_that_never_answers_is_given_up():
    vigil = Vigil(PATIENCE, 100.0)

    assert not vigil.heard(False, 159.0).over
    assert vigil.heard(False, 160.0).over
    assert not vigil.heard(True, 160.0).over


# --- what happens to the machine ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("wall_s", "monotonic_s", "address", "said"),
    [
        (5.0, 5.0, "10.0.0.1", ""),
        (12.0, 12.0, "10.0.0.1", ""),
        (3600.0, 5.0, "10.0.0.1", "This machine slept."),
        (3600.0, 3600.0, "10.0.0.1", "This machine slept."),
        (-3600.0, 5.0, "10.0.0.1", ""),
        (5.0, 5.0, "10.0.0.2", "The network of this machine changed."),
        (5.0, 5.0, "127.0.0.1", "The network of this machine changed."),
    ],
)
def test_two_looks_tell_what_has_happened(wall_s, monotonic_s, address, said):
    """A clock that is set back is nothing; a monotonic one may stand still in sleep, or not."""
    before = Look(1000.0, 50.0, "10.0.0.1")

    assert before.disturbed(Look(1000.0 + wall_s, 50.0 + monotonic_s, address), 5.0) == said
