"""Any order of anything: each routed request has one answer, of a version that its route led to.

A machine plays callers, replicas that answer, fail, are late or are lost, an owner who changes routes,
aliases and versions, and a clock, around the real registry, routes, lanes and caches. An oracle of a few
lines knows who may answer.
"""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace

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
from prism_core.errors import (
    InvalidInput,
    ModelFailed,
    ModelNotFound,
    Overloaded,
    PrismError,
    ReplicaLost,
    RequestError,
)
from prism_core.gateway import asking, lane
from prism_core.gateway.cache import AnswerCache
from prism_core.gateway.lane import Head, Lane, Prediction
from prism_core.gateway.lifecycle import State
from prism_core.gateway.lru import ENTRY_BYTES, Group, Store
from prism_core.gateway.registry import Registry, Version
from prism_core.gateway.traffic import hedging, journey, routed
from prism_core.gateway.traffic.kinds import RoutedCall
from prism_core.gateway.traffic.routed import Routing
from prism_core.gateway.traffic.sender import Sender
from prism_core.manifest import Manifest
from prism_core.testing import Clock
from prism_core.traffic.circuit import CircuitPolicy
from prism_core.traffic.hedge import Hedge
from prism_core.traffic.route import Route
from prism_core.traffic.targets import Fallback, Share, Target
from prism_core.types import Signature, TensorSpec

SIGNATURE = Signature((TensorSpec("x", "FP64", (-1, 1)),), (TensorSpec("y", "FP64", (-1,)),))
VALUE = {"nobody": "knows"}
# The last is another model's, the third no deterministic one.
VERSIONS = (("m", 1), ("m", 2), ("m", 3), ("rf", 1))
HEADS = [Head(), Head(accept="text/csv"), Head(cached=False)]
BODIES = [b"1", b"2"]
USERS = [f"user-{number}" for number in range(6)]
OWN_S, GRACE_S = 30.0, 0.05

SHARES = [
    (Share(1), Share(2)),
    (Share(1, weight=90), Share(2, weight=10)),
    (Share(1, weight=0), Share(2), Share(3)),
    (Share(3),),
    (Share("champion"), Share(model="rf")),
    (),
]
FALLBACKS = [
    (),
    (Fallback(1),),
    (Fallback(2), Fallback(model="rf")),
    (Fallback(3), Fallback(value=VALUE)),
    (Fallback(value=VALUE),),
    (Fallback("champion"), Fallback("champion"), Fallback(1)),
]
ROUTES = st.builds(
    Route,
    split=st.sampled_from(SHARES),
    sticky=st.sampled_from(["", "header:X-User"]),
    fallback=st.sampled_from(FALLBACKS),
    timeout_ms=st.sampled_from([0.0, 500.0]),
    hedge=st.sampled_from([None, Hedge(after_ms=50.0, budget_percent=100.0)]),
    circuit=st.sampled_from([CircuitPolicy(), CircuitPolicy(1, 1.0, 4.0), CircuitPolicy(2, 60.0)]),
)
REQUESTS = st.tuples(
    st.sampled_from(HEADS), st.sampled_from(BODIES), st.sampled_from(USERS), st.sampled_from([0.0, 0.7, 5.0])
)
OUTCOMES = [None, None, ModelFailed("It fell."), Overloaded("Much."), InvalidInput("No.")]


def said(name, head, body):
    """Return what a version says."""
    return b"%b|%b|%b" % (name.encode(), head.mark, body)


class Replica:
    """Holds what it is asked until the machine has it answer, or its time is over."""

    address = "unix:nowhere"

    def __init__(self, name, clock):
        self.name, self.asked, self.pending, self.clock = name, 0, {}, clock

    @property
    def in_flight(self):
        return len(self.pending)

    def ask(self, head, body, timeout_s, answer, request=""):
        self.asked += 1
        self.pending[self.asked] = (head, body, answer, self.clock() + timeout_s + GRACE_S)
        return self.asked

    def cancel(self, call_id):
        self.pending.pop(call_id, None)  # what it says later is nobody's

    def let_go(self, call_id, hear):
        """Be busy with what nobody wants any more, where it is computed already."""
        if len(self.pending) == 1 and call_id in self.pending:
            head, body, _, ends = self.pending[call_id]
            self.pending[call_id] = (head, body, hear, ends)
        else:
            self.cancel(call_id)

    def answer(self, call_id, outcome=None):
        if call_id in self.pending:
            head, body, answer, _ = self.pending.pop(call_id)
            reply = outcome or wire.Reply(call_id, "application/json", 1, batch_rows=1)
            answer(reply, memoryview(said(self.name, head, body) if outcome is None else b""))

    def expire(self):
        for call_id, (*_, ends) in list(self.pending.items()):
            if ends <= self.clock():
                self.answer(call_id, TimeoutError())


@attrs.define(eq=False)
class Caller:
    """One caller: what was asked when, who might answer, and what came."""

    id: str
    head: Head
    body: bytes
    user: str
    ends: float
    route: Route | None
    may_answer: frozenset[str]
    may_be_chosen: frozenset[str]
    asking: object = None
    outcomes: list = attrs.field(factory=list)
    cancelled: bool = False

    @property
    def waits(self):
        return not (self.outcomes or self.cancelled)

    def check(self):
        assert len(self.outcomes) + self.cancelled <= 1
        for outcome in self.outcomes:
            if not isinstance(outcome, Prediction):
                assert isinstance(outcome, PrismError)
            elif outcome.version:
                name = f"{outcome.model}/{outcome.version}"
                assert name in self.may_answer
                assert bytes(outcome.body) == said(name, self.head, self.body)
            else:
                assert json.loads(outcome.body) == VALUE
                assert any(one.value == VALUE for one in self.route.fallback)
                assert self.head.accept != "text/csv"


class Traffic(RuleBasedStateMachine):
    """The interleavings."""

    first = Route(SHARES[1], fallback=FALLBACKS[3], circuit=CircuitPolicy(1, 1.0, 4.0))

    def __init__(self, monkeypatch):
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = self.loop.time = Clock()
        for module in (asking, lane, journey, routed, hedging):
            monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=self.clock, time=self.clock))
        self.callers, self.lanes, self.replicas, self.records, self.stuck = [], [], [], [], {}
        self.registry = Registry(lambda event: None)
        self.routing = Routing(self.record)
        self.store, self.group = Store(6 * ENTRY_BYTES, self.clock), Group(4 * ENTRY_BYTES)
        self.in_loop(self.begin)

    def begin(self):
        for model, number in VERSIONS:
            manifest = Manifest(
                model, number, "toy", "toy", "a", f"sha256:{model}{number}", 1, 0.0, deterministic=number != 3
            )
            version = Version(manifest, SIGNATURE, State.READY)
            self.registry.put(version)
            self.serve(version)
        self.model = self.registry.model("m")
        self.model.last_version, self.registry.model("rf").last_version = 3, 1
        self.model.named["champion"] = 2
        self.model.route, self.model.revision = self.first, 1
        self.routing.serve(self.registry)

    def serve(self, version):
        salt = version.manifest.digest.encode()
        cache = AnswerCache(self.store, salt, 60.0, None, self.group, clock=self.clock)
        version.lane = Lane(
            version.manifest, SIGNATURE, cache=cache, record=lambda record: None, hold_s=OWN_S / 2
        )
        version.lane.wake = lambda: None
        self.lanes.append(version.lane)
        for _ in range(2):
            self.add_replica(version.lane)
        self.registry.refresh()

    def add_replica(self, lane):
        replica = Replica(f"{lane.model}/{lane.version}", self.clock)
        self.replicas.append(replica)
        lane.add(replica)

    def record(self, record):
        if isinstance(record, RoutedCall):
            self.records.append(record)

    def in_loop(self, function, *arguments):
        async def run():
            function(*arguments)
            for _ in range(10):
                await asyncio.sleep(0)

        self.loop.run_until_complete(run())

    # --- the oracle -----------------------------------------------------------------------

    def meant(self, targets):
        """Return the names of the versions that targets of the route mean now, where they are served."""
        lanes = self.registry.lanes
        references = [target.reference("m") for target in targets]
        return frozenset(f"{lanes[one].model}/{lanes[one].version}" for one in references if one in lanes)

    def expected(self, route):
        """Return who may answer a request that comes now, and who may be chosen for it."""
        chosen = [share for share in route.split if share.weight] if route else []
        chosen = self.meant(chosen or [Target("latest")])
        behind = self.meant(one for one in (route.fallback if route else ()) if one.value is None)
        return chosen | behind, chosen

    # --- what may happen ------------------------------------------------------------------

    @rule(requests=st.lists(REQUESTS, min_size=1, max_size=6))
    def ask(self, requests):
        for head, body, user, timeout_s in requests:
            found = self.registry.lanes.get("m")
            if found is not None:
                ends, route = self.clock() + (timeout_s or OWN_S), self.model.route
                number = str(len(self.callers))
                caller = Caller(number, head, body, user, ends, route, *self.expected(route))
                self.callers.append(caller)
                self.in_loop(self._ask, found, caller, timeout_s)

    def _ask(self, found, caller, timeout_s):
        caller.asking = found.ask(
            caller.head,
            caller.body,
            timeout_s,
            caller.outcomes.append,
            caller.id,
            lambda: Sender({"x-user": caller.user}),
        )

    def calls(self):
        return [(replica, call_id) for replica in self.replicas for call_id in replica.pending]

    @precondition(lambda self: self.calls())
    @rule(outcome=st.sampled_from(OUTCOMES))
    def answer_all(self, outcome):
        self.in_loop(lambda: [replica.answer(call_id, outcome) for replica, call_id in self.calls()])

    @precondition(lambda self: self.calls())
    @rule(data=st.data(), outcome=st.sampled_from(OUTCOMES))
    def answer(self, data, outcome):
        replica, call_id = data.draw(st.sampled_from(self.calls()))
        self.in_loop(replica.answer, call_id, outcome)

    @precondition(lambda self: self.waiting())
    @rule(data=st.data())
    def go_away(self, data):
        caller = data.draw(st.sampled_from(self.waiting()))
        caller.cancelled = True
        self.in_loop(caller.asking.cancel)

    @rule(version=st.sampled_from(VERSIONS), lost=st.booleans(), restarted=st.booleans())
    def lose(self, version, lost, restarted):
        """A replica goes: lost, or unloaded; another comes at once, or with `load`."""
        lane = self.registry.version(*version).lane
        if lane is not None and lane.clients:
            self.in_loop(self._lose, lane, lane.clients[0], lost, restarted)

    def _lose(self, lane, replica, lost, restarted):
        lane.remove(replica)
        for call_id in list(replica.pending) if lost else ():
            replica.answer(call_id, ReplicaLost("gone"))
        if restarted:
            self.add_replica(lane)

    @rule(version=st.sampled_from(VERSIONS))
    def load(self, version):
        lane = self.registry.version(*version).lane
        if lane is not None and len(lane.clients) < 2:
            self.in_loop(self.add_replica, lane)

    @rule(route=ROUTES, none=st.sampled_from([False] * 7 + [True]))
    def lead(self, route, none):
        route = None if none else route
        self.model.route, self.model.revision = route, self.model.revision + 1
        self.in_loop(self.registry.refresh)

    @rule(number=st.sampled_from([1, 2, 3]))
    def move_alias(self, number):
        self.model.named["champion"] = number
        self.in_loop(self.registry.refresh)

    @rule(version=st.sampled_from(VERSIONS), again=st.booleans())
    def stop(self, version, again):
        version = self.registry.version(*version)
        if version.lane is not None:
            old, version.lane, version.state = version.lane, None, State.STOPPED
            self.in_loop(self._stop, old)
        if again:
            version.state = State.READY
            self.in_loop(self.serve, version)

    def _stop(self, lane):
        self.registry.refresh()
        lane.close()

    @rule(seconds=st.sampled_from([0.1, 0.1, 0.5, 3.0, 20.0, 61.0]))
    def wait(self, seconds):
        self.in_loop(self.clock.advance, seconds)
        self.in_loop(lambda: [replica.expire() for replica in self.replicas])

    # --- what must be so --------------------------------------------------------------------

    def waiting(self):
        return [caller for caller in self.callers if caller.waits]

    @invariant()
    def each_has_one_answer_of_a_version_that_its_route_led_to(self):
        for caller in self.callers:
            caller.check()

    @invariant()
    def nothing_is_done_for_nobody(self):
        assert sum(lane.in_flight for lane in self.lanes) == len(self.waiting())

    @invariant()
    def nobody_waits_beyond_the_deadline(self):
        now = self.clock()
        assert all(caller.ends + 2 * GRACE_S > now for caller in self.waiting())

    @invariant()
    def each_is_recorded_once_and_as_it_was(self):
        for record in self.records:
            caller = self.callers[int(record.request)]
            self.check_record(caller, record)
        told = [record.request for record in self.records]
        assert len(told) == len(set(told))
        assert set(told) == {one.id for one in self.callers if one.route is not None and not one.waits}

    def check_record(self, caller, record):
        if caller.cancelled:
            assert (record.status, record.code) == (499, "cancelled")
            return
        assert record.failure != "invalid_input", "what the caller did wrong was asked of somebody else"
        (outcome,) = caller.outcomes
        lines = getattr(outcome, "lines", b"")
        if isinstance(outcome, Prediction):
            assert (record.arm == record.answered) == (record.failure == "")
            assert (b"x-prism-fallback: %b\r\n" % record.failure.encode() in lines) == bool(record.failure)
        elif isinstance(outcome, RequestError) and not isinstance(outcome, ModelNotFound):
            assert record.code == "invalid_input"
        assert not caller.may_be_chosen or record.arm in caller.may_be_chosen or record.failure
        if caller.route.sticky:
            key = (record.revision, caller.user, caller.may_be_chosen)
            assert self.stuck.setdefault(key, record.arm) == record.arm

    def teardown(self):
        try:
            for _ in range(40):
                self.in_loop(lambda: [replica.answer(call_id) for replica, call_id in self.calls()])
                self.wait(1.0)
            assert not self.waiting(), "somebody waits for ever"
            self.each_has_one_answer_of_a_version_that_its_route_led_to()
            self.each_is_recorded_once_and_as_it_was()
            for version in self.registry.versions():
                if version.lane is not None:
                    assert version.lane.in_flight == 0
                    assert not (version.lane.cache and version.lane.cache._flights)
        finally:
            self.loop.close()


def test_no_order_of_events_loses_a_request_or_answers_one_twice():
    with pytest.MonkeyPatch.context() as monkeypatch:
        run_state_machine_as_test(
            lambda: Traffic(monkeypatch),
            settings=settings(
                max_examples=100,
                stateful_step_count=50,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
