"""How a lane is asked by a route: who waits for a replica, and who goes on."""

from __future__ import annotations

import asyncio

import pytest

from prism_core import wire
from prism_core.errors import DeadlineExceeded, ReplicaLost, StillLoading
from prism_core.gateway.asking import Asking
from prism_core.gateway.cache import AnswerCache
from prism_core.gateway.lane import Lane
from prism_core.gateway.lru import Group, Store
from prism_core.gateway.prediction import Head
from prism_core.gateway.traffic.askings import Impatient, Suspect
from tests.unit.gateway.conftest import SIGNATURE, ignore, manifest_of

GONE = ReplicaLost("gone")


class Replica:
    """Holds what it is asked."""

    def __init__(self) -> None:
        self.calls, self.cancelled = {}, []

    @property
    def in_flight(self) -> int:
        return len(self.calls)

    def ask(self, head, body, timeout_s, answer, request=""):
        self.calls[len(self.calls) + 1] = answer
        return len(self.calls)

    def cancel(self, call_id):
        self.cancelled.append(call_id)
        del self.calls[call_id]

    def answer(self, outcome=None):
        calls, self.calls = self.calls, {}
        for call_id, answer in calls.items():
            answer(outcome or wire.Reply(call_id, "application/json", 1, batch_rows=1), memoryview(b"[1]"))


@pytest.fixture
def lane():
    cache = AnswerCache(Store(10_000), b"salt", 60.0, None, Group(10_000))
    lane = Lane(manifest_of(), SIGNATURE, cache=cache, record=ignore)
    lane.woken = 0

    def wake():
        lane.woken += 1

    lane.wake = wake
    return lane


def ask(lane, how, body=b"1"):
    outcomes = []
    return outcomes, lane.ask(Head(), body, 30.0, outcomes.append, how=how)


async def turn():
    for _ in range(3):
        await asyncio.sleep(0)


async def test_who_goes_on_wakes_the_version_and_waits_for_nothing(lane):
    outcomes, _ = ask(lane, Impatient)
    await turn()

    assert isinstance(outcomes[0], StillLoading)
    assert (lane.woken, lane.in_flight, lane.waiting) == (1, 0, {})


async def test_who_goes_on_does_not_take_along_an_equal_request_that_would_wait(lane):
    hurried, _ = ask(lane, Impatient)
    patient, _ = ask(lane, Asking)
    await turn()
    assert isinstance(hurried[0], StillLoading)
    assert patient == []

    replica = Replica()
    lane.add(replica)
    replica.answer()
    assert bytes(patient[0].body) == b"[1]"


async def test_who_goes_on_does_not_wait_with_an_equal_request_that_waits(lane):
    patient, _ = ask(lane, Asking)
    hurried, _ = ask(lane, Impatient)
    await turn()

    assert isinstance(hurried[0], StillLoading)
    assert patient == []


async def test_any_number_of_equal_requests_go_on(lane):
    """Each of them is the successor of the one before: that must not be a stack of a thousand frames."""
    all_of_them = [ask(lane, Impatient)[0] for _ in range(2000)]
    for _ in range(2100):
        await asyncio.sleep(0)

    assert all(isinstance(outcomes[0], StillLoading) for outcomes in all_of_them)


async def test_what_is_kept_answers_though_nothing_is_loaded(lane):
    replica = Replica()
    lane.add(replica)
    ask(lane, Asking)
    replica.answer()
    lane.remove(replica)

    outcomes, _ = ask(lane, Impatient)
    assert outcomes[0].cache == "hit"


async def test_a_loss_is_told_where_no_other_replica_is_left(lane):
    replica = Replica()
    lane.add(replica)
    first, second = ask(lane, Impatient, b"1")[0], ask(lane, Impatient, b"2")[0]
    lane.remove(replica)
    for answer in list(replica.calls.values()):
        answer(GONE, memoryview(b""))
        replica.calls.pop(min(replica.calls))
    await turn()

    assert [type(one) for one in (*first, *second)] == [ReplicaLost, ReplicaLost]


async def test_a_suspect_is_asked_when_nothing_is_beside_it(lane):
    replica = Replica()
    lane.add(replica)
    beside, _ = ask(lane, Asking, b"1")
    suspect, _ = ask(lane, Suspect, b"2")
    assert replica.in_flight == 1

    replica.answer()
    async with asyncio.timeout(10):
        while not replica.in_flight:
            await asyncio.sleep(0.001)
    assert lane.clients == ()  # nobody else comes to it meanwhile
    replica.answer()
    assert [bytes(one.body) for one in (*beside, *suspect)] == [b"[1]", b"[1]"]
    assert lane.clients == (replica,)


async def test_a_suspect_that_ends_a_replica_again_is_told_so(lane):
    replica = Replica()
    lane.add(replica)
    suspect, _ = ask(lane, Suspect)
    replica.answer(GONE)

    assert suspect == [GONE]
    assert lane.clients == ()


async def test_one_whose_time_is_over_is_dropped_in_the_runtime_and_answered(lane):
    replica = Replica()
    lane.add(replica)
    outcomes, asking = ask(lane, Asking)
    asking.expire()
    asking.expire()

    assert [type(one) for one in outcomes] == [DeadlineExceeded]
    assert (replica.cancelled, lane.in_flight) == ([1], 0)
