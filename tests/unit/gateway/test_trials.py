"""A request that ends its replica fails by itself; whoever was beside it is answered."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prism_core import wire
from prism_core.errors import DeadlineExceeded, ModelNotFound, Overloaded, ReplicaLost
from prism_core.gateway.crowd import FEW
from prism_core.gateway.lane import Head, Lane
from prism_core.manifest import Batching, Manifest
from prism_core.types import Signature

POISON = b"poison"
GONE = ReplicaLost("gone")


class Mortal:
    """A replica that computes all that it has at once, and ends if one of that is poison."""

    def __init__(self, lane: Lane) -> None:
        self.lane, self.calls, self.asked, self.lost = lane, {}, [], False

    @property
    def in_flight(self) -> int:
        return len(self.calls)

    def ask(self, head, body, timeout_s, answer, request=""):
        self.asked.append(body)
        self.calls[len(self.asked)] = (body, answer)
        return len(self.asked)

    def cancel(self, call_id):
        self.calls.pop(call_id, None)

    def execute(self) -> None:
        if any(body == POISON for body, _ in self.calls.values()):
            self.die()
        calls, self.calls = self.calls, {}
        for call_id, (body, answer) in calls.items():
            answer(wire.Reply(call_id, "application/json", 1, 1, 0, 0), memoryview(body))

    def die(self) -> None:
        """End as `ReplicaClient` tells of it."""
        self.lost = True
        self.lane.remove(self)
        for _, answer in list(self.calls.values()):
            answer(GONE, memoryview(b""))
        self.calls.clear()


class World:
    """A lane of some replicas, each of which is replaced when it has ended."""

    def __init__(self, replicas: int = 1, deterministic: bool = True, **batching) -> None:
        facts = dict(deterministic=deterministic, batching=Batching(**batching))
        manifest = Manifest("m", 1, "toy", "toy", "a", "sha256:0", 1, 0.0, **facts)
        self.lane = Lane(manifest, Signature((), ()), cache=None, record=lambda record: None)
        self.replicas = [Mortal(self.lane) for _ in range(replicas)]
        self.outcomes: dict[int, bytes | Exception] = {}
        self.deaths = 0
        for replica in self.replicas:
            self.lane.add(replica)

    def ask(self, body: bytes, timeout_s: float = 30.0):
        number = len(self.outcomes)
        self.outcomes[number] = b"nothing yet"

        def answered(outcome):
            assert self.outcomes[number] == b"nothing yet", "answered twice"
            self.outcomes[number] = outcome if isinstance(outcome, Exception) else bytes(outcome.body)

        return self.lane.ask(Head(), body, timeout_s, answered)

    def execute(self, index: int = 0) -> None:
        self.replicas[index].execute()
        if self.replicas[index].lost:
            self.restart(index)

    def kill(self, index: int = 0) -> None:
        self.replicas[index].die()
        self.restart(index)

    def restart(self, index: int) -> None:
        self.deaths += 1
        self.replicas[index] = Mortal(self.lane)
        self.lane.add(self.replicas[index])

    async def settle(self) -> None:
        async with asyncio.timeout(10):
            while b"nothing yet" in self.outcomes.values():
                for index in range(len(self.replicas)):
                    self.execute(index)
                await asyncio.sleep(0)


async def test_a_request_that_ends_every_replica_is_answered_after_two_when_it_was_alone():
    world = World()
    world.ask(POISON)
    await world.settle()

    assert isinstance(world.outcomes[0], ReplicaLost)
    assert world.deaths == 2


async def test_those_beside_it_are_answered():
    world = World()
    for body in (b"1", POISON, b"2", b"3"):
        world.ask(body)
    world.execute()
    world.ask(b"4")
    await world.settle()

    assert isinstance(world.outcomes.pop(1), ReplicaLost)
    assert list(world.outcomes.values()) == [b"1", b"2", b"3", b"4"]
    assert world.deaths == 3


async def test_calls_of_a_killed_replica_are_asked_together():
    """A replica that is lost to something else costs one execution more, not one a call."""
    world = World()
    for number in range(50):
        world.ask(b"%d" % number)
    world.kill()

    assert world.replicas[0].in_flight == 50


async def test_a_call_that_comes_while_others_are_tried_waits_for_their_end():
    world = World()
    for body in (b"1", POISON):
        world.ask(body)
    world.execute()
    world.execute()
    world.ask(b"2")

    assert (world.replicas[0].in_flight, len(world.lane.waiting)) == (1, 1)
    await world.settle()
    assert world.outcomes[2] == b"2"


async def test_another_replica_answers_what_it_has_before_it_is_kept_apart():
    world = World(2)
    world.ask(POISON)
    world.ask(b"1")
    world.execute(0)  # the poison was alone there

    assert [body for body, _ in world.replicas[1].calls.values()] == [b"1"]
    await world.settle()
    assert isinstance(world.outcomes[0], ReplicaLost)
    assert (world.outcomes[1], world.deaths) == (b"1", 2)


@pytest.mark.parametrize("leave", ["cancel", "close", "disappoint", "deadline"])
async def test_whoever_waits_to_be_asked_alone_can_leave(leave):
    world = World()
    asking = world.ask(b"1", timeout_s=0.01)
    world.replicas[0].die()

    if leave == "cancel":
        asking.cancel()
    elif leave == "close":
        world.lane.close()
        assert isinstance(world.outcomes[0], ModelNotFound)
    elif leave == "disappoint":
        world.lane.disappoint(Overloaded("no room"))
        assert isinstance(world.outcomes[0], Overloaded)
    else:
        while not asking.done:
            await asyncio.sleep(0.001)
        assert isinstance(world.outcomes[0], DeadlineExceeded)
    assert (world.lane.in_flight, world.lane.trials.waiting) == (0, {})
    world.restart(0)
    assert world.lane.clients == (world.replicas[0],)


async def test_one_that_hangs_up_while_it_is_tried_is_still_alone():
    world = World()
    hanging_up = world.ask(POISON)
    world.kill()
    world.ask(b"1")
    hanging_up.cancel()
    world.outcomes[0] = b"nobody waits"

    assert world.replicas[0].in_flight == 1
    world.execute()
    await world.settle()
    assert world.outcomes[1] == b"1"


async def test_a_replica_that_is_to_end_is_kept_apart_no_longer():
    world = World()
    world.ask(b"1")
    world.kill()
    leaving = world.replicas[0]
    world.lane.remove(leaving)
    world.restart(0)
    leaving.execute()

    assert world.outcomes[0] == b"1"
    assert world.lane.clients == (world.replicas[0],)


async def test_what_is_not_deterministic_is_asked_once():
    world = World(deterministic=False)
    world.ask(b"1")
    world.kill()

    assert isinstance(world.outcomes[0], ReplicaLost)


async def test_calls_that_wait_for_a_restart_may_be_more_than_the_objective_allows():
    world = World()
    world.lane.crowd.bound = FEW
    world.replicas[0].die()
    for number in range(10 * FEW):
        world.ask(b"%d" % number)

    assert set(world.outcomes.values()) == {b"nothing yet"}
    world.restart(0)
    await world.settle()
    assert Counter(type(outcome) for outcome in world.outcomes.values()) == {bytes: 10 * FEW}


async def test_a_replica_that_is_left_takes_more_than_the_objective_allows():
    world = World(2)
    world.lane.crowd.bound = FEW
    world.ask(b"1")
    world.ask(b"2")
    world.replicas[0].die()
    world.replicas[1].execute()
    for number in range(2 * FEW):
        world.ask(b"%d" % number)
    world.restart(0)
    await world.settle()

    assert {type(outcome) for outcome in world.outcomes.values()} == {bytes}


@pytest.mark.parametrize("told", [0.001, "soon", None, -1, float("nan")])
async def test_a_full_queue_of_a_replica_that_has_just_come_is_asked_again(told):
    """What has come during a restart may be more rows than its queue takes at once."""
    world = World()
    world.replicas[0].die()
    world.ask(b"1")
    world.restart(0)
    (_, refused), *_ = world.replicas[0].calls.values()
    world.replicas[0].calls.clear()
    refused(Overloaded("full", details={"retry_after_s": told}), memoryview(b""))

    await world.settle()
    assert world.outcomes[0] == b"1"


async def test_a_full_queue_refuses_at_any_other_time():
    world = World()
    world.ask(b"1")
    (_, refused), *_ = world.replicas[0].calls.values()
    refused(Overloaded("full"), memoryview(b""))

    assert isinstance(world.outcomes[0], Overloaded)


async def test_a_full_queue_is_not_asked_again_beyond_the_deadline():
    world = World()
    world.replicas[0].die()
    world.ask(b"1", timeout_s=5.0)
    world.restart(0)
    (_, refused), *_ = world.replicas[0].calls.values()
    refused(Overloaded("full", details={"retry_after_s": 6.0}), memoryview(b""))

    assert isinstance(world.outcomes[0], Overloaded)


ACTIONS = st.one_of(
    st.tuples(st.just("ask"), st.sampled_from([b"1", b"2", POISON, b"3", b"4"])),
    st.tuples(st.sampled_from(["execute", "hang up"]), st.integers(0, 2)),
)


@settings(deadline=None, max_examples=300)
@given(st.integers(1, 3), st.lists(ACTIONS, max_size=40))
def test_only_poison_fails_and_costs_three_replicas_at_most(replicas, actions):
    """Whatever comes in whatever order."""

    async def run():
        world, bodies, askings = World(replicas), [], []
        for what, value in actions:
            if what == "ask":
                askings.append(world.ask(value))
                bodies.append(value)
            elif what == "execute":
                world.execute(value % replicas)
            elif value < len(askings) and bodies[value] != POISON and not askings[value].done:
                askings[value].cancel()
                world.outcomes[value] = bodies[value]
        await world.settle()
        return world, bodies

    world, bodies = asyncio.run(run())

    for number, body in enumerate(bodies):
        outcome = world.outcomes[number]
        assert isinstance(outcome, ReplicaLost) if body == POISON else outcome == body
    assert world.deaths <= 3 * bodies.count(POISON)
    assert world.lane.in_flight == 0
    assert sorted(map(id, world.lane.clients)) == sorted(map(id, world.replicas))
