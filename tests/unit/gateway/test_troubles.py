"""A replica that fails while another answers is left out, and tried behind the callers' backs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prism_core.errors import DeadlineExceeded, InvalidInput, ModelFailed, Overloaded, ReplicaLost
from prism_core.gateway import troubles
from prism_core.gateway.asking import Asking
from prism_core.gateway.breaker import Circuit
from prism_core.gateway.lane import Lane
from prism_core.gateway.prediction import Head
from prism_core.gateway.traffic.askings import Suspect
from prism_core.gateway.traffic.kinds import ReplicaMoved
from prism_core.gateway.traffic.replica_circuits import GONE, ReplicaCircuits
from tests.unit.conftest import FakeReplica, Scene


class Clock:
    """What `time.monotonic` says to circuits."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(troubles, "time", clock)
    return clock


class Two(Scene):
    """A lane of a bad replica and a good one; the bad one is asked first."""

    def __init__(self) -> None:
        super().__init__()
        self.good = FakeReplica()
        self.moves: list[str] = []
        self.lane.troubles.moved = lambda lane, client, state: self.moves.append(str(state))
        self.lane.add(self.good)
        self.asked = 0

    @property
    def bad(self) -> FakeReplica:
        return self.replica

    def begin(self, outcomes: list[Any]) -> Asking:
        self.asked += 1
        asking = self.lane.ask(Head(), b"[[%d]]" % self.asked, 60.0, outcomes.append)
        assert asking is not None
        return asking

    def fail(self, times: int, failure: Exception | None = None) -> list[Any]:
        """Let the bad one fail so often."""
        outcomes: list[Any] = []
        for _ in range(times):
            self.begin(outcomes)
            self.bad.answer(len(self.bad.asked), failure or ModelFailed("It fell."))
        return outcomes

    def answered(self) -> list[Any]:
        """Ask once more, and let the good one answer."""
        outcomes: list[Any] = []
        self.begin(outcomes)
        self.good.answer(len(self.good.asked))
        return outcomes


@pytest.fixture
async def two():
    return Two()


@pytest.mark.parametrize("failure", [ModelFailed("It fell."), DeadlineExceeded("Late."), TimeoutError()])
async def test_after_five_failures_in_a_row_it_gets_nothing(two, failure):
    two.fail(5, failure)
    assert (two.lane.clients, two.moves) == ((two.good,), ["open"])
    two.answered()
    assert (len(two.bad.asked), len(two.good.asked)) == (5, 1)


@pytest.mark.parametrize("failure", [InvalidInput("No row."), Overloaded("Full.")])
async def test_what_is_not_its_own_fault_does_not_count(two, failure):
    two.fail(20, failure)

    assert two.bad in two.lane.clients
    assert not two.lane.troubles


async def test_one_good_answer_in_between_is_enough_to_stay(two):
    for _ in range(5):
        two.fail(4)
        two.begin([])
        two.bad.answer(len(two.bad.asked))

    assert two.bad in two.lane.clients
    assert not two.lane.troubles


async def test_where_all_fail_none_is_left_out(two):
    two.bad.waiting[99] = None  # the other is asked first
    outcomes: list[Any] = []
    two.begin(outcomes)
    two.good.answer(1, ModelFailed("It fell, too."))
    del two.bad.waiting[99]
    two.fail(20)

    assert set(two.lane.clients) == {two.bad, two.good}


async def test_the_last_one_is_never_left_out(two):
    two.lane.remove(two.good)
    two.fail(20)

    assert two.lane.clients == (two.bad,)


async def test_it_is_taken_back_at_once_where_it_is_the_last(two):
    two.fail(5)
    two.lane.remove(two.good)

    assert (two.lane.clients, two.moves) == ((two.bad,), ["open", "closed"])


async def test_it_takes_its_place_while_the_other_asks_alone_what_may_end_a_replica(two):
    two.fail(5)
    outcomes: list[Any] = []
    for asked in (two.good, two.bad):
        two.lane.ask(Head(cached=False), b"[[0]]", 60.0, outcomes.append, how=Suspect)
        assert asked not in two.lane.clients
        asked.answer(len(asked.asked))

    assert [type(one).__name__ for one in outcomes] == ["Prediction"] * 2
    assert set(two.lane.clients) == {two.bad, two.good}


async def test_after_a_pause_it_is_tried_with_a_copy_and_nobody_sees_it_fail(two, clock):
    two.fail(5)
    clock.now += 0.99
    assert len(two.answered()) == 1
    assert len(two.bad.asked) == 5

    clock.now += 0.02
    outcomes = two.answered()
    two.bad.answer(6, ModelFailed("Still."))
    assert [type(one).__name__ for one in outcomes] == ["Prediction"]
    assert (two.bad.asked[-1], two.moves) == (two.good.asked[-1], ["open", "half_open", "open"])

    clock.now += 1.5  # the pause is twice as long now
    two.answered()
    assert len(two.bad.asked) == 6
    clock.now += 0.6
    two.answered()
    two.bad.answer(7)
    assert set(two.lane.clients) == {two.good, two.bad}
    assert two.moves[-2:] == ["half_open", "closed"]
    assert not two.lane.troubles


async def test_one_trial_at_a_time(two, clock):
    two.fail(5)
    clock.now += 1.1
    two.answered()
    two.answered()

    assert len(two.bad.asked) == 6


async def test_one_that_is_lost_while_it_is_left_out_is_forgotten(two, clock):
    two.fail(5)
    clock.now += 1.1
    two.answered()
    two.lane.remove(two.bad)
    two.bad.answer(6, ReplicaLost("Gone."))

    assert (two.lane.clients, two.moves[-1]) == ((two.good,), "None")
    assert not two.lane.troubles


async def test_a_route_that_waits_no_longer_counts_and_a_caller_who_goes_away_does_not(two):
    for _ in range(9):
        two.begin([]).cancel()
    assert not two.lane.troubles
    for _ in range(5):
        two.begin([]).expire()

    assert two.lane.clients == (two.good,)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["ok", "fail", "lose", "wait"])), max_size=60))
def test_there_is_always_one_to_ask_as_long_as_one_lives(events):
    asyncio.run(_lives(events))


async def _lives(events: list[tuple[int, str]]) -> None:
    scene = Scene(deterministic=False)  # what is lost is not asked again, which has tests of its own
    lane: Lane = scene.lane
    replicas = [scene.replica, FakeReplica(), FakeReplica()]
    for replica in replicas[1:]:
        lane.add(replica)
    alive, outcomes, begun = set(replicas), [], 0
    for which, what in events:
        replica = replicas[which]
        if what == "lose" and replica in alive:
            alive.discard(replica)
            lane.remove(replica)
            for call in list(replica.waiting):
                replica.answer(call, ReplicaLost("Gone."))
        elif what == "wait":
            troubles.time.now += 5
        elif alive:
            begun += 1
            lane.ask(Head(cached=False), b"[[1]]", 60.0, outcomes.append)
            for call in list(replica.waiting):
                replica.answer(call, None if what == "ok" else ModelFailed("no"))
        assert set(lane.clients) | set(lane.troubles.left_out) == alive
        assert bool(lane.clients) is bool(alive)
        assert not set(lane.clients) & set(lane.troubles.left_out)
    for replica in alive:
        for call in list(replica.waiting):
            replica.answer(call)
    assert len(outcomes) == begun


def test_the_leader_tells_once_for_all_gateways():
    events: list[Any] = []
    circuits = ReplicaCircuits(events.append)
    for gateway, state in [(1, "open"), (2, "open"), (1, "half_open"), (1, "closed")]:
        circuits.hear(ReplicaMoved(0.0, "m", 3, "unix:a", state, gateway))
    assert circuits.of("m", 3, "unix:a") is Circuit.OPEN
    (family,) = circuits.collect()
    assert [(one.labels, one.value) for one in family.samples] == [({"model": "m", "version": "3"}, 1)]

    circuits.left(2)
    assert circuits.of("m", 3, "unix:a") is Circuit.CLOSED
    assert [event.name for event in events] == ["replica.left_out", "replica.taken_back"]


def test_one_that_has_gone_is_forgotten_in_silence():
    events: list[Any] = []
    circuits = ReplicaCircuits(events.append)
    for state in ("open", GONE):
        circuits.hear(ReplicaMoved(0.0, "m", 3, "unix:a", state, 1))

    assert [event.name for event in events] == ["replica.left_out"]
    (family,) = circuits.collect()
    assert family.samples == []
