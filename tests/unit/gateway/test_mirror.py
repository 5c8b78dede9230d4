"""A follower's registry: what the leader says is what it serves, at once and whole."""

from __future__ import annotations

import asyncio

import attrs
import pytest

from prism_core.errors import InsufficientMemory, ModelNotFound, PrismError, ServingError
from prism_core.gateway.lane import Head, Lane
from prism_core.gateway.lifecycle import State
from prism_core.gateway.mirror import Mirror
from prism_core.gateway.table import SharedModel, SharedVersion
from prism_core.specs import CallRecord
from tests.unit.gateway.conftest import SIGNATURE, ignore, manifest_of

RECORD = CallRecord("m", 1, 200, "ok", 1, 2, 0.001, 0.002, 0.003, "miss")


def lane_of(manifest, signature) -> Lane:
    return Lane(manifest, signature, cache=None, record=ignore)


def version(number, state=State.READY, error="", **facts) -> SharedVersion:
    served = state is State.READY
    return SharedVersion(manifest_of("m", number, **facts), SIGNATURE, str(state), error, served, ())


def model(*versions, ceiling=None, **named) -> dict[str, SharedModel]:
    last = max(one.manifest.version for one in versions)
    return {"m": SharedModel("m", last, ceiling, named, tuple(versions))}


@attrs.define
class Scene:
    """A mirror, and whom it asked to be woken."""

    mirror: Mirror
    woken: list = attrs.field(factory=list)

    def serves(self, reference) -> int | None:
        lane = self.mirror.registry.lanes.get(reference)
        return lane.version if lane else None

    def ask(self, reference="m") -> list:
        """Ask for a prediction, which waits, as there is no replica; return where its outcome will be."""
        outcome: list = []
        self.mirror.registry.lanes[reference].ask(Head(), b"[]", 0.0, outcome.append)
        return outcome


@pytest.fixture
async def scene():
    made = Scene(None)
    made.mirror = Mirror(lane_of, lambda *key: made.woken.append(key), ready_s=1.0, drain_s=5.0)
    yield made
    await made.mirror.close()


async def settle():
    for _ in range(5):
        await asyncio.sleep(0)


async def test_every_reference_leads_where_the_leader_says(scene):
    scene.mirror.update(model(version(1), version(2), champion=1))

    assert {r: scene.serves(r) for r in ("m", "m@latest", "m@champion", "m/1", "m/2")} == {
        "m": 2,
        "m@latest": 2,
        "m@champion": 1,
        "m/1": 1,
        "m/2": 2,
    }


async def test_a_rollback_moves_latest_only(scene):
    scene.mirror.update(model(version(1), version(2)))
    scene.mirror.update(model(version(1), version(2), ceiling=1))

    assert (scene.serves("m"), scene.serves("m/2")) == (1, 2)


async def test_a_lane_stays_while_its_version_does(scene):
    scene.mirror.update(model(version(1)))
    lane = scene.mirror.registry.lanes["m"]
    scene.mirror.update(model(version(1), champion=1))

    assert scene.mirror.registry.lanes["m@champion"] is lane


@pytest.mark.parametrize("change", [{"digest": "sha256:11"}, {"timeout_s": 5.0}])
async def test_another_version_of_the_same_number_has_a_lane_of_its_own(scene, change):
    """It was removed and uploaded anew between two messages."""
    scene.mirror.update(model(version(1)))
    before = scene.mirror.registry.lanes["m"]
    scene.mirror.update(model(version(1, **change)))

    assert scene.mirror.registry.lanes["m"] is not before


async def test_models_that_are_not_mentioned_stay(scene):
    scene.mirror.update(model(version(1)))
    scene.mirror.update({"n": None})
    assert scene.serves("m") == 1

    scene.mirror.update({"m": None})
    assert scene.mirror.registry.models == {}
    assert scene.mirror.registry.lanes == {}


async def test_an_error_is_the_leaders(scene):
    scene.mirror.update(model(version(1, State.STOPPED)))

    assert scene.mirror.registry.explain("m").details["state"] == "STOPPED"
    assert isinstance(scene.mirror.registry.explain("nix"), ModelNotFound)


async def test_a_call_without_a_replica_wakes_the_leader(scene):
    scene.mirror.update(model(version(1)))
    scene.ask()

    assert scene.woken == [("m", 1)]
    assert scene.mirror.in_flight() == [("m", 1, 1)]


@pytest.mark.parametrize(
    ("state", "error", "kind"),
    [(State.STOPPED, "", ModelNotFound), (State.FAILED, "/home/me/model.pkl is gone", ServingError)],
)
async def test_what_waits_is_told_that_it_does_in_vain_and_not_why(scene, state, error, kind):
    scene.mirror.update(model(version(1)))
    outcome = scene.ask()
    scene.mirror.update(model(version(1, state, error)))
    await settle()

    (refused,) = outcome
    assert isinstance(refused, kind)
    assert isinstance(refused, PrismError)
    assert "/home/me" not in f"{refused.message} {refused.hint} {refused.details}"


async def test_quiet_comes_when_the_last_call_on_what_was_taken_out_has_ended(scene):
    scene.mirror.update(model(version(1)))
    lane = scene.mirror.registry.lanes["m"]
    lane.in_flight += 1  # a replica computes for it
    scene.mirror.update({"m": None})
    quiet = asyncio.ensure_future(scene.mirror.quiet())
    await settle()
    assert not quiet.done()
    assert scene.mirror.in_flight() == [("m", 1, 1)]

    lane.ended(RECORD)
    await quiet
    assert scene.mirror.in_flight() == []


async def test_calls_that_wait_in_vain_are_told_and_later_ones_wait_again(scene):
    scene.mirror.update(model(version(1)))
    outcome = scene.ask()
    scene.mirror.disappoint("m", 1, InsufficientMemory("No room."))
    later = scene.ask()

    assert isinstance(outcome[0], InsufficientMemory)
    assert later == []
