"""What is remembered of answers: by what chance, how much of them, and how many at most."""

from __future__ import annotations

import asyncio
from typing import Any

import attrs
import pytest

from prism_core.errors import Overloaded
from prism_core.gateway.prediction import Head, Prediction
from prism_core.gateway.traffic import remembering as module
from prism_core.gateway.traffic.journey import Ended
from prism_core.gateway.traffic.kinds import Remembered, RoutedCall, Unremembered
from prism_core.gateway.traffic.remembering import MAX_ANSWER_BYTES, Remembering, chances_of
from prism_core.gateway.traffic.routed import Routed, Routing
from prism_core.gateway.traffic.sender import Sender
from prism_core.testing import Clock
from prism_core.traffic.bandit import Bandit
from prism_core.traffic.experiment import Experiment, TrafficGuard
from prism_core.traffic.feedback import Feedback
from prism_core.traffic.route import Route
from prism_core.traffic.targets import Share
from prism_core.types import Signature, TensorSpec
from tests.unit.gateway.test_routed import Told, ask, scene

SPLIT = (Share(1, weight=90), Share(2, weight=10))
SIGNATURE = Signature((TensorSpec("x", "FP64", (-1, 1)),), (TensorSpec("y", "FP64", (-1,)),))


@attrs.frozen
class Served:
    """What a lane says of itself."""

    version: int
    model: str = "m"
    signature: Signature = SIGNATURE


LANES: Any = {"m/1": Served(1), "m/2": Served(2), "m@champion": Served(2)}


def routed(route: Route) -> Routed:
    return Routed(Routing(lambda record: None), "m", route, 3, LANES, lambda reference: Overloaded(reference))


def ended(body=b'{"predictions":[1]}', *, arm="m/1", outcome=None, **call: Any) -> Ended:
    told = RoutedCall(5.0, "id", "m", 3, arm, arm, 200, "ok", 0.1, **call)
    prediction = Prediction(body, "application/json", "m", 1, 1)
    return Ended(Head(), b"", Sender({}, "", "key:ann"), LANES["m/1"], outcome or prediction, told)


def remembered(route: Route, *all_ended: Ended, clock=None) -> list[Any]:
    records: list[Any] = []
    tap = Remembering(records.append, clock or Clock()).tap(routed(route))
    assert tap is not None
    for one in all_ended:
        tap(one)
    return records


def test_an_answer():
    (record,) = remembered(Route(SPLIT, feedback=Feedback()), ended())

    answer = ("y", "application/json", b'{"predictions":[1]}')
    assert record == Remembered(5.0, "id", "m", 3, "m/1", "m/1", 0.9, "key:ann", *answer)


@pytest.mark.parametrize(
    ("route", "wanted"),
    [
        (Route(SPLIT), False),
        (Route(SPLIT, feedback=Feedback()), True),
        (Route(feedback=Feedback()), True),
        (Route(SPLIT, bandit=Bandit()), True),
        (Route(SPLIT, experiment=Experiment()), True),
        (Route(SPLIT, experiment=Experiment(metrics=("latency",))), False),
        (Route(SPLIT, guard=TrafficGuard()), False),
        (Route(SPLIT, guard=TrafficGuard(metrics=("labels",))), True),
    ],
)
def test_routes_that_want_it(route, wanted):
    """A route that nobody judges pays nothing."""
    assert (Remembering(lambda record: None).tap(routed(route)) is not None) == wanted


@pytest.mark.parametrize(
    ("body", "media_type", "kept"),
    [
        (b'{"predictions":[1]}', "application/json; charset=utf-8", True),
        (memoryview(b'{"predictions":[1]}'), "application/json", True),
        (bytes(8) + b'{"outputs":[]}', "application/vnd.prism.oip", True),
        (b"...", "application/vnd.prism.tensors", True),
        (b"\x93NUMPY...", "application/x-npy", False),
        (b"1\n2\n", "text/csv", False),
        (b'{"predictions":[' + b"1," * MAX_ANSWER_BYTES + b"1]}", "application/json", False),
    ],
)
def test_what_is_kept_of_it(body, media_type, kept):
    """What can be read later, and is not long."""
    outcome = Prediction(body, media_type, "m", 1, 1)
    (record,) = remembered(Route(feedback=Feedback()), ended(outcome=outcome))

    assert (record.answer, record.media_type) == ((bytes(body), media_type) if kept else (b"", ""))


def test_failures_are_not_remembered():
    assert remembered(Route(feedback=Feedback()), ended(outcome=Overloaded("no"))) == []


# --- chances --------------------------------------------------------------------------------


def test_what_a_rule_has_led_had_no_chance():
    assert remembered(Route(SPLIT, feedback=Feedback()), ended(rule=1))[0].chance == 0


class Answering(Told):
    """A lane that answers, and says what it answers with."""

    signature = SIGNATURE


def test_chances_follow_what_is_learned():
    """Of each answer the chance is remembered that its arm had when it was chosen."""
    one, records = scene(Route(SPLIT, bandit=Bandit()), Answering(1), Answering(2))
    one.taps = (Remembering(records.append, Clock()).tap(one),)
    for learned in ({"m/1": 1.0, "m/2": 0.0}, {"m/1": 0.25, "m/2": 0.75}):
        one.routing.weights["m"] = learned
        ask(one)

    first, second = (record for record in records if isinstance(record, Remembered))
    assert (first.arm, first.chance) == ("m/1", 1.0)
    assert second.chance == {"m/1": 0.25, "m/2": 0.75}[second.arm]


@pytest.mark.parametrize(
    ("shares", "chances"),
    [
        ({}, {}),
        ({"m/1": 0.0}, {}),
        ({"m/1": 9.0, "m/2": 1.0}, {"m/1": 0.9, "m/2": 0.1}),
        ({"m/2": 1.0, "m@champion": 1.0}, {"m/2": 1.0}),
        ({"m/2": 1.0, "m/9": 3.0}, {"m/2": 0.25, "m/9": 0.75}),
    ],
)
def test_chances(shares, chances):
    assert chances_of(shares, LANES) == chances


def test_it_is_kept_as_the_runtime_sent_it():
    """Whoever sends it in the words of a dialect cuts its prefix off, before the taps hear of it."""
    one, records = scene(Route(SPLIT, feedback=Feedback()), Answering(1), Answering(2))
    one.taps = (Remembering(records.append, Clock()).tap(one),)

    def send(outcome):
        outcome.body = outcome.body[1:]

    one.ask(Head(), b"", 1.0, send)
    (record,) = (record for record in records if isinstance(record, Remembered))

    assert record.answer == b"[]"


# --- how many -------------------------------------------------------------------------------


async def test_more_than_so_many_are_not_remembered(monkeypatch):
    """They are counted, and the next second has room again."""
    monkeypatch.setattr(module, "MOST_A_SECOND", 3)
    clock, records = Clock(), []
    remembering = Remembering(records.append, clock)
    tap = remembering.tap(routed(Route(feedback=Feedback())))
    for _ in range(10):
        tap(ended())
    clock.now += 1.0
    tap(ended())
    remembering.tell_missed()

    assert sum(isinstance(record, Remembered) for record in records) == 4
    assert [record for record in records if isinstance(record, Unremembered)] == [Unremembered("m", 7)]
    await asyncio.sleep(0)


def test_some_in_a_hundred():
    number = len(remembered(Route(feedback=Feedback(percent=25)), *[ended()] * 1000))

    assert 150 < number < 350
    assert remembered(Route(feedback=Feedback(percent=0)), *[ended()] * 50) == []
