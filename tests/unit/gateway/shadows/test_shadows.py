"""Shadows of one gateway process, over real lanes with replicas that answer when the test says so."""

from __future__ import annotations

import asyncio

import pytest

from prism_core import wire
from prism_core.errors import ModelFailed, ModelNotFound, ReplicaLost
from prism_core.gateway.cache import AnswerCache
from prism_core.gateway.lane import Lane
from prism_core.gateway.lru import Store
from prism_core.gateway.prediction import Head
from prism_core.gateway.traffic.kinds import Compared, RoutedCall, Shadowed
from prism_core.gateway.traffic.routed import Routed, Routing
from prism_core.gateway.traffic.shadows import shadows as shadowing
from prism_core.gateway.traffic.shadows.shadows import MOST_ANSWER_BYTES, open_shadows
from prism_core.manifest import Manifest
from prism_core.traffic.comparing import Agreement
from prism_core.traffic.route import Route
from prism_core.traffic.targets import Fallback, Shadow, Share
from tests.unit.conftest import SIGNATURE, FakeReplica

LIVE, SHADOW = b'{"predictions": [1, 2]}', b'{"predictions": [1, 3]}'


class World:
    """A model with a route: version 1 answers at once, versions 2 and 3 are shadows that answer when told."""

    def __init__(self, shadows, *chosen: Shadow, **route) -> None:
        self.records, self.calls = [], []
        self.shadows = shadows
        self.replicas = {number: FakeReplica() for number in (1, 2, 3)}
        self.lanes = {number: self._lane(number) for number in self.replicas}
        routing = Routing(self.records.append)
        routing.taps.append(shadows.tap)
        known = {f"m/{number}": lane for number, lane in self.lanes.items()}
        asked = Route((Share(1),), shadow=chosen or (Shadow(2),), **route)
        self.routed = Routed(routing, "m", asked, 7, known, ModelNotFound)
        self.routed.taps = tuple(tap for make in routing.taps if (tap := make(self.routed)))

    def _lane(self, number: int) -> Lane:
        manifest = Manifest("m", number, "toy", "toy", "a", f"sha256:{number}", 1, 0.0)
        lane = Lane(manifest, SIGNATURE, cache=None, record=self.calls.append)
        lane.add(self.replicas[number])
        return lane

    def ask(self, body: bytes = b"[[1]]", request: str = "r", outcome=None, answer: bytes = LIVE) -> None:
        """Ask the model; its live version answers."""
        self.routed.ask(Head("application/json"), body, 1.0, lambda outcome: None, request)
        replica = self.replicas[1]
        replica.answer(len(replica.asked), outcome, body=answer)

    async def asked(self, version: int = 2, count: int = 1) -> FakeReplica:
        """Return the replica of a shadow when it has been asked so many questions."""
        async with asyncio.timeout(10):
            while len(self.replicas[version].asked) < count:
                await asyncio.sleep(0.001)
        return self.replicas[version]

    async def told(self, shadow: str = "m/2") -> tuple[list[Compared], Agreement, dict[str, int]]:
        """Return what is reported of a shadow, added up, once everything is."""
        await self.shadows.pairing.finish()
        agreement, dropped = Agreement(), {}
        for record in self.reports:
            if isinstance(record, Shadowed) and record.shadow == shadow:
                agreement.merge(record.agreement)
                for why, count in record.dropped.items():
                    dropped[why] = dropped.get(why, 0) + count
        pairs = [one for one in self.reports if isinstance(one, Compared) and one.shadow == shadow]
        return pairs, agreement, dropped

    reports: list


@pytest.fixture
async def make():
    reports = []
    async with open_shadows(reports.append) as shadows:

        def made(*chosen: Shadow, **route) -> World:
            world = World(shadows, *chosen, **route)
            world.reports = reports
            return world

        yield made


async def test_a_shadow_is_asked_what_was_answered_and_compared(make):
    world = make()
    world.ask(request="r1")
    replica = await world.asked()
    replica.answer(1, body=SHADOW)
    pairs, agreement, dropped = await world.told()

    assert replica.asked == [b"[[1]]"]
    assert [(one.request, one.revision, one.arm, one.live, one.rows, one.agreed) for one in pairs] == [
        ("r1", 7, "m/1", "m/1", 2, 1)
    ]
    assert (agreement.pairs, agreement.rows, agreement.agreed, dropped) == (1, 2, 1, {})


async def test_a_shadows_question_is_no_call_of_its_version(make):
    world = make()
    world.ask()
    (await world.asked()).answer(1)
    await world.told()

    assert [(one.model, one.version) for one in world.calls] == [("m", 1)]
    assert [type(one) for one in world.records] == [RoutedCall]
    assert world.lanes[2].in_flight == 0


async def test_nothing_is_asked_while_a_live_call_is_in_flight(make):
    world = make()
    world.lanes[3].ask(Head(), b"live", 60, lambda outcome: None)
    world.ask()
    await asyncio.sleep(3 * shadowing.LOOK_S)
    assert world.replicas[2].asked == []

    world.replicas[3].answer(1)
    await world.asked()


async def test_one_question_at_a_time_and_shadows_take_turns(make, monkeypatch):
    monkeypatch.setattr(shadowing, "MOST_ASKED", 1)  # on a machine of many processors it is more
    world = make(Shadow(2), Shadow(3))
    world.ask(request="r1")
    world.ask(request="r2")
    first = await world.asked(2)
    await asyncio.sleep(3 * shadowing.LOOK_S)
    assert world.replicas[3].asked == []

    first.answer(1)
    (await world.asked(3)).answer(1)
    (await world.asked(2, 2)).answer(2)
    (await world.asked(3, 2)).answer(2)
    assert (await world.told("m/2"))[1].pairs == (await world.told("m/3"))[1].pairs == 2


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ModelFailed("it divides by 0"), "model_failed"),
        (TimeoutError(), "deadline_exceeded"),
        (ReplicaLost("gone"), "replica_lost"),
        (wire.Stats(1), "internal_error"),
    ],
)
async def test_what_a_shadow_does_wrong_is_counted(make, error, code):
    world = make()
    world.ask()
    (await world.asked()).answer(1, error)
    pairs, agreement, _ = await world.told()

    assert [(one.why, one.live_code, one.code) for one in pairs] == [("other_failed", "ok", code)]
    assert agreement.other.codes == {code: 1}


async def test_live_errors_are_compared_too(make):
    world = make()
    world.ask(outcome=ModelFailed("it divides by 0"))
    (await world.asked()).answer(1)
    pairs, _, _ = await world.told()

    assert [(one.live, one.why, one.live_code) for one in pairs] == [("m/1", "live_failed", "model_failed")]


async def test_a_shadow_that_is_not_loaded_is_woken_once_and_not_asked(make):
    world, woken = make(), []
    lane = world.lanes[2]
    lane.wake = lambda: woken.append(True)
    lane.remove(world.replicas[2])
    for _ in range(3):
        world.ask()
    _, _, dropped = await world.told()
    assert (dropped, woken) == ({"not_loaded": 3}, [True])

    lane.add(world.replicas[2])
    world.ask()
    await world.asked()


async def test_large_requests_and_answers_are_dropped(make):
    world = make()
    world.ask(body=bytes(300_000))
    world.ask(answer=bytes(MOST_ANSWER_BYTES + 1))
    world.ask()
    (await world.asked()).answer(1, body=bytes(MOST_ANSWER_BYTES + 1))
    _, agreement, dropped = await world.told()

    assert (agreement.pairs, dropped) == (0, {"large": 3})


async def test_a_value_is_no_answer_to_compare_with(make):
    world = make(fallback=(Fallback(value=[0]),))
    world.ask(outcome=ModelFailed("it divides by 0"))
    _, _, dropped = await world.told()

    assert dropped == {"no_version": 1}


async def test_a_version_is_not_its_own_shadow(make):
    world = make(Shadow(1))
    world.ask()
    await world.told()

    assert world.reports == []


async def test_an_answer_is_compared_as_its_version_sent_it(make):
    """A dialect cuts a prefix off before the answer is sent; that of a shadow has it yet."""

    def cut(outcome) -> None:
        outcome.body = outcome.body[2:]

    world = make()
    world.routed.ask(Head("application/json"), b"[[1]]", 1.0, cut, "r")
    world.replicas[1].answer(1, body=LIVE)
    (await world.asked()).answer(1, body=LIVE)

    assert (await world.told())[1].agreed == 2


async def test_a_shadow_that_is_stopped_meanwhile_has_not_failed(make):
    world = make()
    world.ask()
    replica = await world.asked()
    world.lanes[2].close()
    replica.answer(1, ReplicaLost("gone"))
    _, agreement, dropped = await world.told()

    assert (agreement.pairs, dropped) == (0, {"stopped": 1})


async def test_at_the_end_nobody_waits_for_a_shadow_and_what_is_known_is_told():
    reports = []
    async with open_shadows(reports.append) as shadows:
        world = World(shadows)
        world.ask(request="r1")
        (await world.asked()).answer(1, body=SHADOW)
        world.ask(request="r2")
        await world.asked(count=2)

    assert world.replicas[2].cancelled == [2]
    assert [one.request for one in reports if isinstance(one, Compared)] == ["r1"]


async def test_the_time_of_a_cached_answer_says_nothing(make):
    world = make()
    world.lanes[1].cache = AnswerCache(Store(1 << 20), b"version 1", 60)
    world.ask()
    world.routed.ask(Head("application/json"), b"[[1]]", 1.0, lambda outcome: None, "r2")
    for number in (1, 2):
        (await world.asked(count=number)).answer(number, body=LIVE)
    pairs, agreement, _ = await world.told()

    assert [one.live_s > 0 for one in pairs] == [True, False]
    assert all(one.shadow_s > 0 for one in pairs)
    assert (agreement.live.latency.count, agreement.other.latency.count) == (1, 2)
