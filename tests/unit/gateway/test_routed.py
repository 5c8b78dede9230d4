"""What a route does with requests, over lanes that answer as they are told."""

from __future__ import annotations

from collections import Counter
from typing import Any

from prism_core.errors import ModelFailed, ModelNotFound
from prism_core.gateway.asking import Head, Prediction
from prism_core.gateway.traffic.routed import Routed, Routing
from prism_core.gateway.traffic.sender import Sender
from prism_core.manifest import Manifest
from prism_core.traffic.route import Route
from prism_core.traffic.targets import Fallback, Share

MANIFEST = Manifest(
    model="m", version=1, loader="l", plugin="p", artifact="m", digest="sha256:0", size_bytes=0, created=0.0
)


class Told:
    """A lane that answers at once, with its version or with an error."""

    model, manifest = "m", MANIFEST

    def __init__(self, version: int, error: Exception | None = None) -> None:
        self.version, self.error = version, error

    def ask(self, head: Head, body: bytes, timeout_s: float, answer: Any, request: str = "") -> None:
        answer(self.error or Prediction(b"[]", "application/json", self.model, self.version, 1))


def scene(route: Route, *lanes: Told) -> tuple[Routed, list[Any]]:
    records: list[Any] = []
    known: Any = {f"m/{lane.version}": lane for lane in lanes}
    return Routed(Routing(records.append), "m", route, 1, known, lambda ref: ModelNotFound(ref)), records


def ask(routed: Routed, user: str = "") -> Any:
    outcome: list[Any] = []
    routed.ask(Head(), b"[]", 1.0, outcome.append, "id", lambda: Sender({"x-user": user}))
    assert len(outcome) == 1
    return outcome[0]


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


def test_a_fallback_answers_where_the_chosen_version_fails():
    routed, records = scene(
        Route((Share(1),), fallback=(Fallback(2),)), Told(1, ModelFailed("It fell.")), Told(2)
    )
    answer = ask(routed)
    assert (answer.version, answer.lines) == (2, b"x-prism-fallback: model_failed\r\n")
    assert (records[0].arm, records[0].answered, records[0].failure) == ("m/1", "m/2", "model_failed")


def test_where_nothing_is_served_the_caller_is_told_so():
    routed, _ = scene(Route((Share(1),)))
    assert isinstance(ask(routed), ModelNotFound)
