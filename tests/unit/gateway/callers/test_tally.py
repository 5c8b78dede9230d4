"""Totals over several gateways that tell each other late, and in any order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_core.gateway.callers.tally import Tally


def test_what_was_used_before_counts():
    tally = Tally({"key:1": 5})
    tally.spend("key:1", 2)
    tally.spend("key:2")

    assert (tally.spent("key:1"), tally.spent("key:2"), tally.spent("key:3")) == (7, 1, 0)
    assert tally.totals() == {"key:1": 7, "key:2": 1}


def test_what_was_taken_is_counted_still_and_not_taken_again():
    tally = Tally()
    tally.spend("key:1", 3)

    assert tally.take() == {"key:1": 3}
    assert tally.take() == {}
    assert tally.spent("key:1") == 3


def test_an_older_total_takes_nothing_back():
    tally = Tally({"key:1": 9})
    tally.learn({"key:1": 4, "key:2": 1})

    assert tally.totals(["key:1", "key:2"]) == {"key:1": 9, "key:2": 1}


def test_a_caller_that_is_no_more_is_forgotten():
    tally = Tally({"key:1": 9})
    tally.spend("key:1")
    tally.forget("key:1")

    assert tally.spent("key:1") == 0
    assert tally.take() == {}


STEPS = st.lists(st.tuples(st.sampled_from(["spend", "report", "share"]), st.integers(0, 2)), max_size=60)


@given(STEPS)
def test_no_gateway_counts_too_much_and_all_agree_in_the_end(steps):
    """Gateway 0 leads; the others report to it and are told the totals."""
    leader, *followers = gateways = [Tally() for _ in range(3)]
    used = 0

    def report(follower):
        for caller, count in follower.take().items():
            leader.spend(caller, count)

    def share():
        for follower in followers:
            follower.learn(leader.totals())

    for step, who in steps:
        if step == "spend":
            gateways[who].spend("c")
            used += 1
        elif step == "share":
            share()
        elif who:
            report(gateways[who])
        assert all(one.spent("c") <= used for one in gateways)
    for follower in followers:
        report(follower)
    share()

    assert [one.spent("c") for one in gateways] == [used] * 3


@pytest.mark.parametrize("count", [1, 5])
def test_a_refund_is_a_negative_count(count):
    tally = Tally({"c": 10})
    tally.spend("c", count)
    tally.spend("c", -count)

    assert tally.spent("c") == 10
    assert tally.take() == {}
