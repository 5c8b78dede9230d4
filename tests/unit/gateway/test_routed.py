"""What a route does with requests, over lanes that answer as they are told."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import attrs
import pytest

from prism_core.errors import (
    DeadlineExceeded,
    InvalidInput,
    ModelFailed,
    ModelNotFound,
    Overloaded,
    ReplicaLost,
    StillLoading,
)
from prism_core.gateway.asking import Asking
from prism_core.gateway.lane import Lane
from prism_core.gateway.prediction import Head, Prediction
from prism_core.gateway.registry import Model
from prism_core.gateway.traffic import journey
from prism_core.gateway.traffic.askings import Impatient, Suspect
from prism_core.gateway.traffic.desk import Desk
from prism_core.gateway.traffic.kinds import CircuitMoved, RoutedCall
from prism_core.gateway.traffic.routed import Routed, Routing
from prism_core.gateway.traffic.sender import Sender
from prism_core.gateway.traffic.steps import Step
from prism_core.manifest import Manifest
from prism_core.testing import Clock
from prism_core.traffic.bandit import Bandit
from prism_core.traffic.circuit import CircuitPolicy
from prism_core.traffic.ensemble import Ensemble
from prism_core.traffic.route import Route
from prism_core.traffic.targets import Fallback, Share
from prism_core.types import Signature, TensorSpec

MANIFEST = Manifest("m", 1, "l", "p", "m", "sha256:0", 0, 0.0)
SIGNATURE = Signature((TensorSpec("x", "FP64", (-1, 1)),), (TensorSpec("y", "FP64", (-1,)),))


@attrs.define(eq=False)
class Call:
    """What a lane was asked, and waits to answer."""

    answer: Any
    timeout_s: float
    how: type
    done: bool = False
    cancelled: bool = False

    def cancel(self) -> None:
        self.done = self.cancelled = True

    def expire(self) -> None:
        self.cancel()
        self.answer(DeadlineExceeded("late"))

    def end(self, outcome: Any) -> None:
        self.done = True
        self.answer(outcome)


class Told:
    """A lane that answers at once, with its version or with an error; or holds what it is asked."""

    model, manifest = "m", MANIFEST

    def __init__(self, version: int, error: Exception | None = None, *, holds: bool = False) -> None:
        self.version, self.error, self.holds = version, error, holds
        self.calls: list[Call] = []

    def ask(
        self, head: Head, body: bytes, timeout_s: float, answer: Any, request: str = "", how: type = Asking
    ) -> Call | None:
        call = Call(answer, timeout_s, how)
        self.calls.append(call)
        if self.holds:
            return call
        call.end(self.error or said(self.version))
        return None


def said(version: int) -> Prediction:
    return Prediction(b"[]", "application/json", "m", version, 1, batch_rows=1)


def scene(route: Route, *lanes: Any, routing: Routing | None = None) -> tuple[Routed, list[Any]]:
    records: list[Any] = []
    routing = routing or Routing(records.append)
    known: Any = {f"m/{lane.version}": lane for lane in lanes}
    return Routed(routing, "m", route, 1, known, lambda ref: ModelNotFound(ref)), records


def ask(routed: Routed, user: str = "", head: Head = Head()) -> Any:  # noqa: B008 - it is frozen
    outcome: list[Any] = []
    routed.ask(head, b"[]", 1.0, outcome.append, "id", lambda: Sender({"x-user": user}))
    assert len(outcome) == 1
    return outcome[0]


def moves(records: list[Any]) -> list[tuple[str, str]]:
    return [(record.arm, record.state) for record in records if isinstance(record, CircuitMoved)]


# --- who is chosen ---------------------------------------------------------------------


def test_the_split_is_as_its_weights_say():
    routed, records = scene(Route((Share(1, weight=90), Share(2, weight=10))), Told(1), Told(2))
    asked = Counter(ask(routed).version for _ in range(2000))
    assert 120 < asked[2] < 280
    assert Counter(record.arm for record in records) == {"m/1": asked[1], "m/2": asked[2]}


def test_a_user_stays_with_a_version_and_only_those_move_that_the_new_weight_needs():
    users = [f"user-{number}" for number in range(2000)]
    before, after = (
        {
            user: ask(routed, user).version
            for routed in [
                scene(
                    Route((Share(1, weight=100 - w), Share(2, weight=w)), "header:X-User"), Told(1), Told(2)
                )[0]
            ]
            for user in users
        }
        for w in (10, 20)
    )
    moved = [user for user in users if before[user] != after[user]]
    assert {after[user] for user in moved} == {2}
    assert 140 < len(moved) < 260


def test_learned_weights_are_gone_by_as_soon_as_they_are_there():
    routing = Routing(lambda record: None)
    route = Route((Share(1), Share(2, weight=0.0)), bandit=Bandit())
    routed, _ = scene(route, Told(1), Told(2), routing=routing)
    before = {ask(routed).version for _ in range(20)}
    routing.weights["m"] = {"m/1": 0.0, "m/2": 5.0}
    after = {ask(routed).version for _ in range(20)}
    assert (before, after) == ({1}, {2})


def test_where_nothing_is_served_the_caller_is_told_so():
    routed, records = scene(Route((Share(1),)))
    assert isinstance(ask(routed), ModelNotFound)
    assert (records[0].arm, records[0].status, records[0].code) == ("m/1", 404, "model_not_found")


def test_others_take_the_share_of_a_version_that_is_not_served():
    routed, _ = scene(Route((Share(1), Share(3, weight=1000))), Told(1))
    assert {ask(routed).version for _ in range(50)} == {1}


def test_fallbacks_answer_for_a_version_that_is_not_served():
    routed, records = scene(Route((Share(3),), fallback=(Fallback(4), Fallback(1))), Told(1))
    answer = ask(routed)
    assert (answer.version, answer.lines) == (1, b"x-prism-fallback: model_not_found\r\n")
    assert (records[0].arm, records[0].answered) == ("m/3", "m/1")


# --- fallbacks -------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ModelFailed("It fell."), Overloaded("Much."), ReplicaLost("Gone.")])
def test_a_fallback_answers_where_the_chosen_version_fails(error):
    routed, records = scene(Route((Share(1),), fallback=(Fallback(2),)), Told(1, error), Told(2))
    answer = ask(routed)
    assert (answer.version, answer.lines) == (2, b"x-prism-fallback: %b\r\n" % error.code.encode())
    assert (records[0].arm, records[0].answered, records[0].failure) == ("m/1", "m/2", error.code)


def test_what_the_caller_did_wrong_is_asked_of_nobody_else():
    second = Told(2)
    routed, _ = scene(Route((Share(1),), fallback=(Fallback(2),)), Told(1, InvalidInput("no")), second)
    assert isinstance(ask(routed), InvalidInput)
    assert second.calls == []


def test_where_all_fail_the_caller_is_told_what_the_chosen_one_said():
    routed, records = scene(
        Route((Share(1),), fallback=(Fallback(2),)), Told(1, ModelFailed("first")), Told(2, Overloaded("b"))
    )
    assert ask(routed).message == "first"
    assert (records[0].status, records[0].failure) == (500, "model_failed")


def test_nobody_is_asked_twice():
    lanes = Told(1, ModelFailed("a")), Told(2, ModelFailed("b"))
    route = Route((Share(1),), fallback=(Fallback(1), Fallback(2), Fallback(2), Fallback(1)))
    ask(scene(route, *lanes)[0])
    assert [len(lane.calls) for lane in lanes] == [1, 1]


def test_a_value_is_the_last_answer_and_no_version_gave_it():
    route = Route((Share(1),), fallback=(Fallback(value={"predictions": [0.5]}),))
    routed, records = scene(route, Told(1, ModelFailed("It fell.")))
    answer = ask(routed)
    assert json.loads(answer.body) == {"predictions": [0.5]}
    assert (answer.version, answer.lines) == (0, b"x-prism-fallback: model_failed\r\n")
    assert (records[0].answered, records[0].status) == ("", 200)


def test_whoever_takes_no_json_gets_no_value():
    route = Route((Share(1),), fallback=(Fallback(value=1),))
    lane = Told(1, ModelFailed("It fell."))
    routed, _ = scene(route, lane)
    assert isinstance(ask(routed, head=Head(accept="text/csv")), ModelFailed)
    assert ask(routed, head=Head(accept="text/html, application/json;q=0.5")).version == 0
    assert [call.how for call in lane.calls] == [Asking, Impatient]


async def test_a_version_that_takes_too_long_is_asked_no_more():
    slow, quick = Told(1, holds=True), Told(2)
    routed, _ = scene(Route((Share(1),), fallback=(Fallback(2),), timeout_ms=1), slow, quick)
    answer = await routed.predict(Head(), b"[]", 5.0)
    assert (answer.version, answer.lines) == (2, b"x-prism-fallback: deadline_exceeded\r\n")
    assert slow.calls[0].cancelled


def test_the_request_has_one_deadline_in_all():
    first, second = Told(1, holds=True), Told(2)
    routed, _ = scene(Route((Share(1),), fallback=(Fallback(2),)), first, second)
    outcome: list[Any] = []
    journey = routed.ask(Head(), b"[]", 1.0, outcome.append)
    journey.expire()
    assert isinstance(outcome[0], DeadlineExceeded)
    assert second.calls == []


def test_whoever_goes_away_is_not_answered_and_asks_nobody_any_more():
    first, second = Told(1, ModelFailed("a")), Told(2, holds=True)
    routed, records = scene(Route((Share(1),), fallback=(Fallback(2),)), first, second)
    outcome: list[Any] = []
    routed.ask(Head(), b"[]", 1.0, outcome.append).cancel()
    second.calls[0].answer(said(2))
    assert (outcome, second.calls[0].cancelled) == ([], True)
    assert [(record.status, record.code) for record in records] == [(499, "cancelled")]


def test_what_may_have_ended_a_replica_is_asked_alone_from_then_on():
    lanes = Told(1, Overloaded("Much.")), Told(2, ReplicaLost("Gone.")), Told(3, Overloaded("Much.")), Told(4)
    routed, _ = scene(Route((Share(1),), fallback=(Fallback(2), Fallback(3), Fallback(4))), *lanes)
    ask(routed)
    assert [lane.calls[0].how for lane in lanes] == [Impatient, Impatient, Suspect, Suspect]


async def test_a_version_that_is_not_loaded_is_woken_and_not_waited_for():
    unloaded, woken = Lane(MANIFEST, SIGNATURE, cache=None, record=lambda record: None), []
    unloaded.wake = lambda: woken.append(1)
    routed, _ = scene(Route((Share(1),), fallback=(Fallback(2),)), unloaded, Told(2))
    answer = await routed.predict(Head(), b"[]", 5.0)
    assert (answer.version, answer.lines) == (2, b"x-prism-fallback: still_loading\r\n")
    assert (woken, unloaded.in_flight, unloaded.waiting) == ([1], 0, {})


def test_fallbacks_are_behind_an_ensemble_too():
    second = Told(2)

    def ensembles(routed: Routed) -> Step:
        def fail(head, body, timeout_s, answer, request=""):
            answer(StillLoading("Nobody made it."))

        return Step("m/ensemble", fail)

    routing = Routing(lambda record: None, ensembles=ensembles)
    route = Route(ensemble=Ensemble((Share(1), Share(3))), fallback=(Fallback(2),))
    routed, _ = scene(route, second, routing=routing)
    answer = ask(routed)
    assert (answer.version, answer.lines) == (2, b"x-prism-fallback: still_loading\r\n")


def test_a_fault_of_a_tap_costs_neither_the_answer_nor_what_others_find_out():
    heard: list[Any] = []
    desk = Desk()
    desk.want(RoutedCall, lambda call: 1 / 0)
    desk.want(RoutedCall, heard.append)
    desk.routing.taps = [lambda routed: lambda ended: 1 / 0, lambda routed: heard.append]
    routed = desk.routing._make(ModelNotFound, Model("m"), Route((Share(1),)), {"m/1": Told(1)})

    assert ask(routed).version == 1
    assert [type(one).__name__ for one in heard] == ["RoutedCall", "Ended"]


# --- circuits --------------------------------------------------------------------------

TWO = CircuitPolicy(failures=2, pause_s=60.0)


def test_a_version_that_fails_again_and_again_is_left_out():
    first = Told(1, ModelFailed("It fell."))
    routed, records = scene(Route((Share(1),), fallback=(Fallback(2),), circuit=TWO), first, Told(2))
    answers = [ask(routed).lines for _ in range(4)]
    assert (
        answers == [b"x-prism-fallback: model_failed\r\n"] * 2 + [b"x-prism-fallback: circuit_open\r\n"] * 2
    )
    assert len(first.calls) == 2
    assert moves(records) == [("m/1", "open")]


def test_a_circuit_outlives_a_change_of_the_route_and_no_new_start_of_the_version():
    first, second = Told(1, ModelFailed("It fell.")), Told(2)
    route = Route((Share(1),), fallback=(Fallback(2),), circuit=TWO)
    routed, _ = scene(route, first, second)
    for _ in range(2):
        ask(routed)
    routing = routed.routing
    changed, _ = scene(attrs.evolve(route, timeout_ms=50), first, second, routing=routing)
    assert ask(changed).lines == b"x-prism-fallback: circuit_open\r\n"
    restarted, _ = scene(route, Told(1), second, routing=routing)
    assert ask(restarted).version == 1


def test_a_version_with_nobody_behind_it_is_asked_though_its_circuit_is_open():
    lane = Told(1, ModelFailed("It fell."))
    routed, _ = scene(Route((Share(1),), circuit=TWO), lane)
    assert all(isinstance(ask(routed), ModelFailed) for _ in range(5))
    assert len(lane.calls) == 5


@pytest.mark.parametrize("error", [Overloaded("Much."), StillLoading("Soon."), InvalidInput("no")])
def test_what_is_not_a_versions_fault_opens_nothing(error):
    routed, records = scene(Route((Share(1),), fallback=(Fallback(2),), circuit=TWO), Told(1, error), Told(2))
    for _ in range(4):
        ask(routed)
    assert moves(records) == []


@pytest.mark.parametrize(("given_s", "expected"), [(0.01, []), (0.0, [("m/1", "open")])])
def test_a_caller_in_a_hurry_opens_nothing(given_s, expected):
    routed, records = scene(Route((Share(1),), circuit=TWO), Told(1, DeadlineExceeded("late")))
    for _ in range(2):
        routed.ask(Head(), b"[]", given_s, lambda outcome: None)
    assert moves(records) == expected


def test_one_call_tries_after_the_pause_and_closes_the_circuit(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(journey.time, "monotonic", clock)
    first = Told(1, ModelFailed("It fell."))
    routed, records = scene(Route((Share(1),), fallback=(Fallback(2),), circuit=TWO), first, Told(2))
    for _ in range(3):
        ask(routed)
    clock.advance(60.0)
    first.holds = True
    routed.ask(Head(), b"[]", 5.0, lambda outcome: None)
    beside = ask(routed)
    first.calls[-1].end(said(1))
    first.holds, first.error = False, None

    assert beside.lines == b"x-prism-fallback: circuit_open\r\n"
    assert ask(routed).version == 1
    assert moves(records) == [("m/1", "open"), ("m/1", "half_open"), ("m/1", "closed")]


def test_a_lone_version_that_works_again_has_a_closed_circuit(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(journey.time, "monotonic", clock)
    lane = Told(1, ModelFailed("It fell."))
    routed, records = scene(Route((Share(1),), circuit=TWO), lane)
    for _ in range(3):
        ask(routed)
    lane.error = None
    clock.advance(60.0)
    ask(routed)
    assert moves(records)[-1] == ("m/1", "closed")


def test_the_circuit_of_a_version_that_is_gone_is_told_closed():
    routed, records = scene(Route((Share(1),), circuit=TWO), Told(1, ModelFailed("It fell.")))
    for _ in range(2):
        ask(routed)
    routed.routing.circuits.settle("m", {"m/1": Told(1)})
    assert moves(records) == [("m/1", "open"), ("m/1", "closed")]


def test_what_a_version_that_is_gone_still_has_in_flight_opens_nothing():
    lane = Told(1, holds=True)
    routed, records = scene(Route((Share(1),), circuit=TWO), lane)
    for _ in range(3):
        routed.ask(Head(), b"[]", 0.0, lambda outcome: None)
    routed.routing.circuits.settle("m", {"m/1": Told(1)})
    for call in lane.calls:
        call.end(ReplicaLost("Gone."))
    assert moves(records) == []


def test_a_browser_is_given_a_cookie_and_stays():
    routed, _ = scene(Route((Share(1), Share(2)), "cookie"), Told(1), Told(2))

    def come(headers: dict[str, str]) -> Prediction:
        outcome: list[Any] = []
        routed.ask(Head(), b"[]", 1.0, outcome.append, "id", lambda: Sender(headers))
        (answer,) = outcome
        return answer

    first = come({"cookie": "other=1"})
    name, _, line = first.lines.decode().partition(": ")
    cookie = line.partition(";")[0]
    assert name == "set-cookie"
    assert line.endswith("HttpOnly; SameSite=Lax\r\n")
    again = [come({"cookie": f"other=1; {cookie}"}) for _ in range(20)]
    assert {answer.version for answer in again} == {first.version}
    assert not any(answer.lines for answer in again)
    assert {come({}).version for _ in range(50)} == {1, 2}
