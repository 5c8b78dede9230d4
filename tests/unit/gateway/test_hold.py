"""Calls that wait while their version is loaded: how long, and what they are told."""

from __future__ import annotations

import asyncio

import pytest

from prism_core.errors import DeadlineExceeded, InsufficientMemory, StillLoading
from prism_core.gateway.lane import Head, Lane
from tests.unit.gateway.conftest import SIGNATURE, ignore, manifest_of


def lane_of(**facts) -> Lane:
    return Lane(manifest_of(), SIGNATURE, cache=None, record=ignore, **facts)


@pytest.mark.parametrize(
    ("hold_s", "head", "timeout_s", "error"),
    [
        (0.01, Head(), 5.0, StillLoading),
        (5.0, Head(hold_s=0.01), 5.0, StillLoading),
        (0.01, Head(hold_s=5.0), 0.05, DeadlineExceeded),
        (5.0, Head(), 0.01, DeadlineExceeded),
    ],
)
async def test_a_call_waits_as_long_as_it_may(hold_s, head, timeout_s, error):
    lane = lane_of(hold_s=hold_s)
    with pytest.raises(error):
        await lane.predict(head, b"[]", timeout_s)

    assert (lane.in_flight, lane.waiting) == (0, {})


async def test_a_call_that_waited_too_long_is_told_when_to_come_again():
    lane = lane_of(hold_s=0.01)
    lane.load_s = 2.5
    with pytest.raises(StillLoading, match=r"was not loaded within the 0\.01 s") as caught:
        await lane.predict(Head(), b"[]")

    assert caught.value.details["retry_after_s"] == 2.5


async def test_those_that_wait_are_refused_together_and_the_next_call_wakes_again():
    lane, woken = lane_of(hold_s=5.0), []
    lane.wake = lambda: woken.append(len(lane.waiting))
    waiting = [asyncio.ensure_future(lane.predict(Head(), b"[]")) for _ in range(3)]
    await asyncio.sleep(0)
    lane.disappoint(InsufficientMemory("There is none."))
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    again = asyncio.ensure_future(lane.predict(Head(), b"[]"))
    await asyncio.sleep(0)
    again.cancel()

    assert [type(one) for one in outcomes] == [InsufficientMemory] * 3
    assert woken == [1, 2, 3, 1]
