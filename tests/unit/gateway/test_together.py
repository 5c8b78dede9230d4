"""Members are asked together and answer once, whatever becomes of each: fakes of lanes and replicas."""

from __future__ import annotations

import asyncio
from typing import Any

import attrs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_core import wire
from prism_core.errors import (
    DeadlineExceeded,
    InvalidInput,
    ModelFailed,
    ModelNotFound,
    Overloaded,
    ReplicaLost,
    TooFewMembers,
)
from prism_core.fitting.tensors import MEDIA_TYPE
from prism_core.gateway.asking import Asking
from prism_core.gateway.crowd import Crowd
from prism_core.gateway.prediction import Head, Prediction
from prism_core.gateway.traffic.routed import Routed, Routing
from prism_core.manifest import Batching, Manifest
from prism_core.traffic.combination import JOIN, ONLY, Combination
from prism_core.traffic.ensemble import Ensemble
from prism_core.traffic.hedge import Hedge
from prism_core.traffic.route import Route
from prism_core.traffic.targets import Fallback, Share, Target
from prism_core.types import Signature, TensorSpec

SIGNATURE = Signature((TensorSpec("x", "FP64", (-1, 1)),), (TensorSpec("y", "FP64", (-1,)),))
LABELS = Signature(SIGNATURE.inputs, (TensorSpec("y", "INT64", (-1,)),))
REPLY = wire.Reply(0, "application/json", 1, compute_us=5)


@attrs.define(eq=False)
class Call:
    """What a member was asked."""

    head: Head
    body: bytes
    timeout_s: float
    answer: Any
    done: bool = False
    cancelled: bool = False

    def cancel(self) -> None:
        assert not self.done, "nothing is cancelled that was answered"
        self.done = self.cancelled = True

    def expire(self) -> None:
        self.end(DeadlineExceeded("late"))

    def end(self, outcome: Any) -> None:
        assert not self.done
        self.done = True
        self.answer(outcome)


@attrs.define(eq=False)
class Replica:
    """Takes what is to be combined, and answers when it is told to."""

    in_flight: int = 0
    asked: list[Any] = attrs.field(factory=list)
    cancelled: list[int] = attrs.field(factory=list)

    def combine(self, head, combination, answers, body, timeout_s, answer, request=""):
        told = msgspec.msgpack.decode(combination, type=Combination)
        self.asked.append((told, dict(answers), answer))
        return len(self.asked)

    def cancel(self, call_id: int) -> None:
        self.cancelled.append(call_id)

    def end(self, reply: Any = REPLY, body: bytes = b"combined") -> None:
        self.asked[-1][2](reply, memoryview(body))


class FakeLane:
    """A lane whose calls are answered by the test; ``at_once`` with what is kept."""

    model = "m"

    def __init__(self, version: int, signature: Signature = SIGNATURE, at_once: Any = None) -> None:
        self.version, self.signature, self.at_once = version, signature, at_once
        self.manifest = Manifest("m", version, "l", "p", "m", "sha256:0", 0, 0.0, timeout_s=9.0)
        self.crowd = Crowd("m", Batching())
        self.clients = [Replica(version)]
        self.refusal = None
        self.waiting: dict[Any, None] = {}
        self.woken = 0
        self.calls: list[Call] = []

    def ask(self, head, body, timeout_s, answer, request="", how=Asking):
        call = Call(head, body, timeout_s, answer)
        self.calls.append(call)
        if self.at_once is None:
            return call
        call.end(self.at_once)
        return None

    def wake_up(self) -> None:
        self.woken += 1


def said(version: int, **facts: Any) -> Prediction:
    return Prediction(b"t%d" % version, MEDIA_TYPE, "m", version, 1, **facts)


class Scene:
    """An ensemble of versions 1 to ``count``, asked once."""

    def __init__(self, count: int = 3, route: Route | None = None, lanes: Any = (), **facts: Any) -> None:
        self.lanes = lanes or [FakeLane(at + 1) for at in range(count)]
        shares = tuple(Share(lane.version) for lane in self.lanes)
        self.route = route or Route(ensemble=Ensemble(shares, **facts))
        self.records: list[Any] = []
        self.routing = Routing(self.records.append)
        self.told: list[Any] = []
        self.served = list(self.lanes)

    def ask(self, timeout_s: float = 5.0, **head: Any) -> Any:
        known: Any = {f"m/{lane.version}": lane for lane in self.served}
        self.routed = Routed(self.routing, "m", self.route, 1, known, lambda ref: ModelNotFound(ref))
        return self.routed.ask(Head(**head), b"body", timeout_s, self.told.append, "id")

    @property
    def calls(self) -> list[Call]:
        return [lane.calls[0] for lane in self.lanes]

    @property
    def replicas(self) -> list[Replica]:
        return [client for lane in self.lanes for client in lane.clients]

    def combining(self) -> tuple[Replica, Combination, dict[int, Any]]:
        (found,) = [(one, *one.asked[-1][:2]) for one in self.replicas if one.asked]
        return found

    @property
    def answer(self) -> Any:
        (told,) = self.told
        return told


async def test_all_members_are_asked_at_once_for_tensors():
    scene = Scene()
    scene.ask(media_type="text/csv", query="a=1", style="v1", accept="text/csv")

    assert [call.head for call in scene.calls] == [Head("text/csv", MEDIA_TYPE, "a=1", wire.MEMBER)] * 3
    assert {call.body for call in scene.calls} == {b"body"}
    assert not scene.told


async def test_the_answers_are_combined_by_the_least_loaded_member_in_the_clients_form():
    scene = Scene()
    scene.ask(accept="text/csv")
    scene.lanes[1].clients[0].in_flight = 0
    for at in (2, 0, 1):
        scene.calls[at].end(said(at + 1, queue_us=at, compute_us=10 * at, batch_rows=at, cache="miss"))
    replica, combination, answers = scene.combining()
    replica.end()

    assert replica is scene.lanes[1].clients[0]
    assert (combination.how, answers) == ("mean", {0: b"t1", 1: b"t2", 2: b"t3"})
    assert scene.answer == Prediction(
        memoryview(b"combined"),
        "application/json",
        "m",
        1,
        1,
        "miss",
        2,
        2,
        25,
        b"x-prism-members-used: m/1,m/2,m/3\r\n",
    )
    assert [(one.arm, one.answered, one.code) for one in scene.records] == [("m/ensemble", "m/1", "ok")]


async def test_answers_that_are_kept_come_at_once():
    lanes = [FakeLane(at, at_once=said(at, cache="hit")) for at in (1, 2)]
    scene = Scene(lanes=lanes)
    scene.ask()
    scene.combining()[0].end()

    assert (scene.answer.cache, scene.answer.lines) == ("hit", b"x-prism-members-used: m/1,m/2\r\n")


async def test_a_member_that_fails_is_left_out():
    scene = Scene(need=2)
    scene.ask()
    scene.calls[0].end(ModelFailed("It fell."))
    scene.calls[1].end(said(2))
    scene.calls[2].end(said(3))
    scene.combining()[0].end()

    assert (scene.answer.version, scene.answer.lines) == (2, b"x-prism-members-used: m/2,m/3\r\n")


async def test_a_late_member_is_left_out_and_cancelled():
    scene = Scene(need=2, deadline_ms=20)
    scene.ask()
    scene.calls[0].end(said(1))
    scene.calls[2].end(said(3))
    await until(lambda: any(one.asked for one in scene.replicas))
    scene.combining()[0].end()

    assert scene.calls[1].cancelled
    assert scene.answer.lines == b"x-prism-members-used: m/1,m/3\r\n"


async def test_members_have_the_deadline_less_what_combining_takes():
    scene = Scene(deadline_ms=100)
    scene.routing.ensembles._costs["m"] = type("Cost", (), {"seconds": 0.03, "hear": lambda *_: None})()
    scene.ask()
    slow = Scene(deadline_ms=100)
    slow.routing.ensembles._costs["m"] = type("Cost", (), {"seconds": 9.0, "hear": lambda *_: None})()
    slow.ask()

    assert scene.calls[0].timeout_s == pytest.approx(0.07)
    assert slow.calls[0].timeout_s == pytest.approx(0.05)
    for one in (scene, slow):
        for call in one.calls:
            call.end(said(1))


async def test_who_combines_past_the_members_deadline_is_asked_once():
    scene = Scene(deadline_ms=20)
    scene.ask()
    answered(scene)
    await asyncio.sleep(0.05)
    scene.combining()[0].end()

    assert sum(len(one.asked) for one in scene.replicas) == 1
    assert isinstance(scene.answer, Prediction)


async def test_too_few_at_the_deadline_are_a_failure():
    scene = Scene(need=2, deadline_ms=20)
    scene.ask()
    scene.calls[0].end(said(1))
    await until(lambda: scene.told)

    assert isinstance(scene.answer, TooFewMembers)
    assert scene.answer.details == {
        "need": 2,
        "failed": {"m/2": "deadline_exceeded", "m/3": "deadline_exceeded"},
    }
    assert [call.cancelled for call in scene.calls] == [False, True, True]


async def test_nobody_is_waited_for_who_cannot_make_it_enough():
    scene = Scene(need=2)
    scene.ask()
    scene.calls[0].end(Overloaded("full"))
    scene.calls[1].end(ModelFailed("It fell."))

    assert scene.answer.details["failed"] == {"m/1": "overloaded", "m/2": "model_failed"}
    assert scene.calls[2].cancelled


@pytest.mark.parametrize("first", [InvalidInput("No row."), ReplicaLost("Gone.")])
async def test_what_the_caller_did_and_what_replicas_die_of_is_told_as_it_is(first):
    scene = Scene(need=3)
    scene.ask()
    scene.calls[1].end(first)

    assert scene.answer is first


async def test_where_nobody_answers_the_first_says_why():
    scene = Scene()
    scene.ask()
    for call, error in zip(scene.calls, (Overloaded("a"), ModelFailed("b"), ModelFailed("c")), strict=True):
        call.end(error)

    assert scene.answer.message == "a"


async def test_fallbacks_answer_for_an_ensemble():
    shares = (Share(1), Share(2))
    route = Route(ensemble=Ensemble(shares, need=2), fallback=(Fallback(3),))
    scene = Scene(route=route)
    scene.ask()
    scene.lanes[0].calls[0].end(ModelFailed("It fell."))
    scene.lanes[2].calls[0].end(said(3))

    assert (scene.answer.version, scene.answer.lines) == (3, b"x-prism-fallback: too_few_members\r\n")


async def test_a_member_that_is_not_served_is_missing():
    scene = Scene(need=2)
    scene.served = scene.lanes[:2]
    scene.ask()
    scene.lanes[0].calls[0].end(said(1))
    scene.lanes[1].calls[0].end(Overloaded("full"))

    assert scene.answer.details["failed"] == {"m/3": "not_served", "m/2": "overloaded"}


async def test_where_nothing_is_served_the_caller_is_told_so():
    scene = Scene()
    scene.served = []
    scene.ask()

    assert isinstance(scene.answer, ModelNotFound)


async def test_members_that_do_not_fit_fail_each_request_with_the_reason():
    scene = Scene(lanes=[FakeLane(1), FakeLane(2, LABELS)])
    scene.ask()

    assert "m/2 answers INT64" in scene.answer.message


# --- combining ---------------------------------------------------------------------------------


def answered(scene: Scene) -> None:
    for call, lane in zip(scene.calls, scene.lanes, strict=True):
        call.end(said(lane.version))


async def test_where_a_replica_dies_another_one_combines():
    scene = Scene()
    scene.ask()
    answered(scene)
    dead, _, _ = scene.combining()
    scene.lanes[0].clients = []
    dead.end(ReplicaLost("Gone."))
    living = scene.lanes[1].clients[0]
    living.end()

    assert scene.answer.body == b"combined"


async def test_what_ends_replica_after_replica_is_asked_of_no_more():
    scene = Scene()
    scene.ask()
    answered(scene)
    for lane in scene.lanes:
        (dead,), lane.clients = lane.clients, []
        dead.end(ReplicaLost("Gone."))

    assert isinstance(scene.answer, ReplicaLost)


async def test_where_nothing_is_loaded_a_replica_is_woken_and_waited_for():
    """All answers were kept."""
    lanes = [FakeLane(at, at_once=said(at, cache="hit")) for at in (1, 2)]
    for lane in lanes:
        lane.clients = []
    scene = Scene(lanes=lanes)
    scene.ask()
    (waiting,) = lanes[0].waiting
    lanes[0].clients = [Replica()]
    waiting.resume()
    lanes[0].clients[0].end()

    assert (lanes[0].woken, lanes[0].waiting, scene.answer.body) == (1, {}, b"combined")


async def test_who_waits_for_a_replica_waits_no_longer_than_the_request():
    scene = Scene(lanes=[FakeLane(1, at_once=said(1))])
    scene.lanes[0].clients = []
    scene.ask(timeout_s=0.02)
    await until(lambda: scene.told)

    assert (scene.answer.code, scene.lanes[0].waiting) == ("deadline_exceeded", {})


async def test_where_all_is_being_stopped_nobody_is_waited_for():
    scene = Scene(lanes=[FakeLane(1, at_once=said(1))])
    scene.lanes[0].clients, scene.lanes[0].refusal = [], ModelNotFound("stopped")
    scene.ask()

    assert scene.answer.message == "stopped"


async def test_a_caller_that_goes_away_cancels_members_and_combining():
    early, late = Scene(), Scene()
    early.ask().cancel()
    journey = late.ask()
    answered(late)
    journey.cancel()

    assert all(call.cancelled for call in early.calls)
    assert late.combining()[0].cancelled == [1]
    assert early.told == late.told == []


async def test_no_more_are_open_than_the_most_patient_member_takes():
    scene = Scene(1)
    scene.lanes[0].crowd.bound = 2
    scene.ask()
    for _ in range(2):
        scene.routed.ask(Head(), b"body", 5.0, scene.told.append)

    assert isinstance(scene.answer, Overloaded)
    for call in scene.lanes[0].calls:
        call.end(said(1))
    scene.replicas[0].end()
    scene.routed.ask(Head(), b"body", 5.0, scene.told.append)
    assert len(scene.lanes[0].calls) == 3


async def test_a_slow_member_is_hedged_where_the_route_says_so():
    asked = []
    scene = Scene(route=Route(ensemble=Ensemble((Share(1),)), hedge=Hedge()), count=1)
    scene.routing.hedging = lambda model, route, lane, how: lambda *told: asked.append((lane, how))
    scene.ask()

    assert asked == [(scene.lanes[0], Asking)]


# --- stacking ----------------------------------------------------------------------------------


def stacked() -> Scene:
    members = (Share(1), Share(2))
    scene = Scene(route=Route(ensemble=Ensemble(members, "stacking", stack=Target(3))), count=3)
    scene.lanes[2].signature = Signature((TensorSpec("x", "FP64", (-1, 2)),), LABELS.outputs)
    return scene


async def test_a_stack_is_asked_with_the_columns_and_its_answer_written_for_the_client():
    scene = stacked()
    scene.ask(accept="text/csv")
    for at in (0, 1):
        scene.lanes[at].calls[0].end(said(at + 1))
    replica, combination, _ = scene.combining()
    replica.end(body=b"columns")
    (call,) = scene.lanes[2].calls
    asked, body = call.head, bytes(call.body)
    call.end(said(3))
    last, passed, answers = scene.combining()
    last.end()

    assert (combination.how, passed.how, answers) == (JOIN, ONLY, {0: b"t3"})
    assert (asked, body) == (Head("application/x-npy", MEDIA_TYPE, "", wire.MEMBER), b"columns")
    assert (scene.answer.version, scene.answer.lines) == (3, b"x-prism-members-used: m/1,m/2\r\n")


async def test_a_stack_needs_all_members():
    scene = stacked()
    scene.ask()
    scene.lanes[0].calls[0].end(ModelFailed("It fell."))

    assert scene.answer.details == {"failed": {"m/1": "model_failed"}, "need": 2}


async def test_a_stack_that_does_not_take_the_columns_is_the_routes_fault():
    scene = stacked()
    scene.ask()
    for at in (0, 1):
        scene.lanes[at].calls[0].end(said(at + 1))
    scene.combining()[0].end()
    scene.lanes[2].calls[0].end(InvalidInput("3 columns are too few."))

    assert (scene.answer.code, "m/3 does not take" in scene.answer.message) == ("model_failed", True)


async def test_a_stack_that_is_being_stopped_is_no_fault_of_the_columns():
    scene = stacked()
    scene.ask()
    for at in (0, 1):
        scene.lanes[at].calls[0].end(said(at + 1))
    scene.combining()[0].end()
    scene.lanes[2].calls[0].end(ModelNotFound("It is being stopped."))

    assert scene.answer.message == "It is being stopped."


async def test_a_stack_that_is_not_served_is_told():
    scene = stacked()
    scene.served = scene.lanes[:2]
    scene.ask()

    assert scene.answer.message == "m/3"


# --- any order ---------------------------------------------------------------------------------

ERRORS = (ModelFailed("f"), Overloaded("o"), DeadlineExceeded("d"), InvalidInput("i"), ReplicaLost("r"))
events = st.lists(
    st.tuples(
        st.sampled_from(["answer", "fail", "combine", "lose", "fail combining", "cancel", "expire"]),
        st.integers(0, 4),
    ),
    max_size=25,
)


@given(events, st.integers(1, 3), st.booleans(), st.booleans())
def test_whatever_happens_there_is_one_answer(happens, need, stacking, fallback):
    asyncio.run(_through(happens, need, stacking=stacking, fallback=fallback))


async def _through(happens, need, *, stacking, fallback):
    facts = {"combine": "stacking", "stack": Target(4)} if stacking else {"need": need}
    ensemble = Ensemble((Share(1), Share(2), Share(3)), **facts)
    scene = Scene(4, Route(ensemble=ensemble, fallback=(Fallback(5),) if fallback else ()))
    scene.lanes[3].signature = Signature((TensorSpec("x", "FP64", (-1, 3)),), LABELS.outputs)
    scene.lanes.append(FakeLane(5))
    scene.served = scene.lanes
    journey = scene.ask()
    cancelled = False
    for what, number in [*happens, *(("answer", at) for at in range(5)), ("combine", 0)] * 3:
        before = len(scene.told)
        cancelled = _happen(scene, journey, what, number) or cancelled
        assert len(scene.told) <= 1
        assert before <= len(scene.told)

    assert len(scene.told) == (0 if cancelled else 1)
    assert journey.done
    assert all(call.done for lane in scene.lanes for call in lane.calls)
    assert scene.routed._ensemble.ask.args[0].open == 0
    assert len(scene.records) == 1


def _happen(scene: Scene, journey: Any, what: str, number: int) -> bool:
    """Let one thing happen, where it can; return whether the caller has gone away."""
    lane = scene.lanes[number]
    open_calls = [call for call in lane.calls if not call.done]
    combining = [one for one in scene.replicas if one.asked and one.asked[-1] is not None]
    if what == "answer" and open_calls:
        open_calls[0].end(said(lane.version))
    elif what == "fail" and open_calls:
        open_calls[0].end(ERRORS[number])
    elif what == "expire":
        journey.expire()
    elif what == "cancel" and not journey.done:
        journey.cancel()
        return True
    elif what in ("combine", "lose", "fail combining") and combining:
        outcome = {"combine": REPLY, "lose": ReplicaLost("r"), "fail combining": ERRORS[number]}[what]
        _end(combining[0], outcome)
    return False


def _end(replica: Replica, outcome: Any) -> None:
    """Answer what it was asked last, once, unless that was cancelled."""
    (_, _, answer), replica.asked[-1] = replica.asked[-1], None
    if len(replica.asked) not in replica.cancelled:
        answer(outcome, memoryview(b"combined"))


async def until(happened: Any) -> None:
    async with asyncio.timeout(10):
        while not happened():
            await asyncio.sleep(0.001)
