"""Any interleaving of anything: what is cached is always what the version would have said itself.

A machine plays callers, replicas, a clock, the owner who moves aliases and stops versions, and
a second level in all moods, around the real registry, lanes, cache and second level.
"""

from __future__ import annotations

import asyncio

import attrs
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from prism_core import wire
from prism_core.errors import DeadlineExceeded, ModelFailed, ModelNotFound, ReplicaLost
from prism_core.gateway.cache import AnswerCache
from prism_core.gateway.lane import Head, Lane, Prediction
from prism_core.gateway.lifecycle import State
from prism_core.gateway.lru import ENTRY_BYTES, Group, Store
from prism_core.gateway.registry import Registry, Version
from prism_core.gateway.second import SecondLevel
from prism_core.manifest import Manifest
from prism_core.testing import Clock
from prism_core.types import Signature, TensorSpec

SIGNATURE = Signature((TensorSpec("x", "FP64", (-1, 1)),), (TensorSpec("y", "FP64", (-1,)),))
VERSIONS = (1, 2, 3)
TTL_S = 60.0
# The last is longer than what is its own key, and different only at its end.
BODIES = [b"1", b"2", b"bad", b"x" * 600, b"x" * 599 + b"y"]
HEADS = [Head(), Head(accept="text/csv"), Head(cached=False)]


def said(version, head, body):
    """Return what a version says, without a cache: the oracle. None: it raises."""
    return None if body == b"bad" else b"%d|%b|%b" % (version, head.mark, body)


class Replica:
    """Holds what it is asked until the machine has it answer."""

    def __init__(self, version):
        self.version, self.asked, self.pending = version, 0, {}

    @property
    def in_flight(self):
        return len(self.pending)

    def ask(self, head, body, timeout_s, answer, request=""):
        self.asked += 1
        self.pending[self.asked] = (head, body, answer)
        return self.asked

    def cancel(self, call_id):
        del self.pending[call_id]

    def answer(self, call_id, outcome=None):
        head, body, answer = self.pending.pop(call_id)
        value = said(self.version, head, body)
        if outcome is None and value is None:
            outcome = ModelFailed("bad")
        answer(outcome or wire.Reply(call_id, "application/json", 1), memoryview(value or b""))


class Store2:
    """A plugin's cache in all moods."""

    def __init__(self):
        self.mood, self.values = "works", {}

    async def _behave(self):
        if self.mood == "hangs":
            await asyncio.Event().wait()
        if self.mood == "slow":  # longer than a step of the machine: others ask the same meanwhile
            for _ in range(15):
                await asyncio.sleep(0)
        if self.mood == "fails":
            raise ConnectionError("refused")

    async def get(self, key):
        await self._behave()
        value = self.values.get(key)
        return value and (value[:-1] if self.mood == "damages" else value)

    async def put(self, key, value, ttl_s):
        await self._behave()
        self.values[key] = value


@attrs.define(eq=False)
class Asked:
    """One caller: what was asked of which version, and what came."""

    version: int
    head: Head
    body: bytes
    asking: object = None
    outcomes: list = attrs.field(factory=list)
    cancelled: bool = False
    troubled: bool = False  # lost replicas, a deadline or the end of its version may have met it

    def check(self):
        assert len(self.outcomes) <= 1
        for outcome in self.outcomes:
            assert not self.cancelled
            expected = said(self.version, self.head, self.body)
            if isinstance(outcome, Prediction):
                assert bytes(outcome.body) == expected
                assert (outcome.version, outcome.media_type) == (self.version, "application/json")
                assert self.head.cached or outcome.cache == "bypass"
            elif self.troubled:
                assert isinstance(outcome, ModelFailed | ReplicaLost | DeadlineExceeded | ModelNotFound)
            else:
                assert expected is None
                assert isinstance(outcome, ModelFailed)


class Traffic(RuleBasedStateMachine):
    """The interleavings; ``leveled``: with a second level."""

    def __init__(self, leveled):
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock, self.callers, self.replicas, self.closed = Clock(), [], [], []
        self.loop.time = self.clock  # timers go by it too: nothing depends on the machine
        self.store, self.bound = Store(6 * ENTRY_BYTES, self.clock), Group(4 * ENTRY_BYTES)
        self.further, self.level = Store2(), None
        self.registry = Registry(lambda event: None)
        self.in_loop(self.begin, leveled)

    def in_loop(self, function, *arguments):
        async def run():
            function(*arguments)
            await self.settle()
            if self.further.mood == "hangs":
                for _ in range(3):
                    self.clock.advance(0.001)
                    await self.settle()

        self.loop.run_until_complete(run())

    async def settle(self, turns=10):
        for _ in range(turns):
            await asyncio.sleep(0)

    def begin(self, leveled):
        if leveled:
            self.level = SecondLevel("second", self.further, 0.001, self.clock)
            self.writing = self.loop.create_task(self.level.write())
        for number in VERSIONS:
            manifest = Manifest("m", number, "toy", "toy", "a", f"sha256:{number}", 1, 0.0)
            version = Version(manifest, SIGNATURE, State.READY)
            self.registry.put(version)
            self.serve(version)
        self.model = self.registry.model("m")
        self.model.last_version = len(VERSIONS)

    def serve(self, version):
        salt = version.manifest.digest.encode()
        cache = AnswerCache(self.store, salt, TTL_S, self.level, self.bound, clock=self.clock)
        version.lane = Lane(version.manifest, SIGNATURE, cache=cache, record=lambda record: None)
        self.add_replica(version.lane)
        self.registry.refresh()

    def add_replica(self, lane):
        replica = Replica(lane.version)
        self.replicas.append(replica)
        lane.add(replica)

    # --- what may happen ------------------------------------------------------------------

    @rule(
        reference=st.sampled_from(["m", "m/1", "m@champion"]),
        head=st.sampled_from(HEADS),
        body=st.sampled_from(BODIES),
    )
    def ask(self, reference, head, body):
        lane = self.registry.lanes.get(reference)
        if lane is not None:
            caller = Asked(lane.version, head, body)
            self.callers.append(caller)
            self.in_loop(lambda: setattr(caller, "asking", lane.ask(head, body, 1e6, caller.outcomes.append)))

    def calls(self):
        return [(replica, call_id) for replica in self.replicas for call_id in replica.pending]

    @precondition(lambda self: self.calls())
    @rule(data=st.data(), late=st.booleans())
    def answer(self, data, late):
        replica, call_id = data.draw(st.sampled_from(self.calls()))
        if late:
            self.trouble()
        self.in_loop(replica.answer, call_id, TimeoutError() if late and call_id % 4 == 0 else None)

    @precondition(lambda self: self.waiting())
    @rule(data=st.data())
    def go_away(self, data):
        caller = data.draw(st.sampled_from(self.waiting()))
        caller.cancelled = True
        self.in_loop(caller.asking.cancel)

    @precondition(lambda self: self.calls())
    @rule(data=st.data())
    def lose(self, data):
        replica, _ = data.draw(st.sampled_from(self.calls()))
        self.trouble()
        lane = self.registry.version("m", replica.version).lane
        self.in_loop(self._lose, replica, lane)

    def _lose(self, replica, lane):
        lane.remove(replica)
        for call_id in list(replica.pending):
            replica.answer(call_id, ReplicaLost("gone"))
        self.add_replica(lane)

    @rule(seconds=st.sampled_from([1.0, 20.0, TTL_S]))
    def wait(self, seconds):
        self.in_loop(self.clock.advance, seconds)

    @rule(number=st.sampled_from(VERSIONS))
    def move_alias(self, number):
        was = self.model.named.get("champion")
        self.model.named["champion"] = number
        self.in_loop(self._refreshed, None if was == number else was)

    def _refreshed(self, left):
        self.registry.refresh()
        # At once: what the second level is still asked for may be kept again afterwards.
        if left is not None:
            assert len(self.registry.version("m", left).lane.cache.kept) == 0

    @rule(ceiling=st.sampled_from([None, *VERSIONS]))
    def roll_back(self, ceiling):
        self.model.ceiling = ceiling
        self.in_loop(self.registry.refresh)

    @rule(number=st.sampled_from(VERSIONS))
    def restart(self, number):
        version = self.registry.version("m", number)
        self.trouble()
        old = version.lane
        self.in_loop(old.close)
        self.closed.append(old.cache)
        self.in_loop(self.serve, version)

    @precondition(lambda self: self.level)
    @rule(mood=st.sampled_from(["works", "slow", "slow", "fails", "hangs", "damages", "flushed"]))
    def change_mood(self, mood):
        if mood == "flushed":
            self.further.values.clear()
        else:
            self.further.mood = mood

    def trouble(self):
        for caller in self.waiting():
            caller.troubled = True

    # --- what must be so --------------------------------------------------------------------

    def waiting(self):
        return [caller for caller in self.callers if not caller.outcomes and not caller.cancelled]

    @invariant()
    def what_came_is_what_would_have_been_said(self):
        for caller in self.callers:
            caller.check()

    @invariant()
    def one_computes_for_all(self):
        for replica in self.replicas:
            computed = [(head.mark, body) for head, body, _ in replica.pending.values() if head.cached]
            assert len(computed) == len(set(computed))

    @invariant()
    def nothing_is_kept_of_what_has_ended(self):
        assert not any(len(cache.kept) for cache in self.closed)

    @invariant()
    def memory_is_bounded(self):
        assert self.store.bytes <= self.store.max_bytes
        assert self.bound.bytes <= self.bound.max_bytes

    def teardown(self):
        try:
            self.further.mood = "works"
            for _ in range(100):
                self.in_loop(lambda: [replica.answer(call_id) for replica, call_id in self.calls()])
                self.clock.advance(0.001)
            assert not self.waiting(), "somebody waits for ever"
            self.what_came_is_what_would_have_been_said()
            for version in self.registry.versions():
                assert version.lane.in_flight == 0
                assert not version.lane.cache._flights
        finally:
            if self.level:
                self.writing.cancel()
                self.loop.run_until_complete(asyncio.wait({self.writing}))
            self.loop.close()


@pytest.mark.parametrize("leveled", [False, True])
def test_no_interleaving_makes_an_answer_wrong(leveled):
    run_state_machine_as_test(
        lambda: Traffic(leveled),
        settings=settings(
            max_examples=150, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
