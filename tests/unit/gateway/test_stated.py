"""Routes of the settings, beside those that are set live."""

from __future__ import annotations

import asyncio

import attrs
import pytest

from prism_core.gateway.events import Events
from prism_core.gateway.traffic.stated import Stated, following
from prism_core.gateway.traffic.states import States
from prism_core.traffic.route import Route
from prism_core.traffic.targets import Share
from tests.unit.gateway.conftest import ignore, open_desk
from tests.unit.gateway.test_routes import CANARY, routes_of

WIDER = attrs.evolve(CANARY, timeout_ms=5.0)


async def stored(_event):
    """Store nothing."""


async def started(tmp_path, **routes):
    """Start a server with routes in its file, with two versions of churn; return its route and history."""
    async with open_desk(tmp_path) as desk:
        for data in (b"one", b"two") if "churn" not in desk.registry.models else ():
            await desk.upload(data)
        for version in desk.registry.versions():
            version.lane = version.lane or desk.operator.make_lane(version.manifest, version.signature)
        kept = routes_of(desk)
        async with following(Stated(routes, kept, States(kept.records)), Events(stored, ignore)):
            pass
        return desk.registry.model("churn").route, await kept.history("churn")


@pytest.fixture
def live(tmp_path):
    """Set a route live."""

    async def live(route):
        async with open_desk(tmp_path) as desk:
            for version in desk.registry.versions():
                version.lane = desk.operator.make_lane(version.manifest, version.signature)
            await routes_of(desk).set("churn", route)

    return live


async def test_a_route_of_the_file_is_followed_and_told_as_that(tmp_path):
    route, (last, *_) = await started(tmp_path, churn=CANARY)

    assert route == CANARY
    assert (last.actor, last.why) == ("settings", "as prism.yaml says")


async def test_a_live_change_survives_a_start_with_the_same_file(tmp_path, live):
    await started(tmp_path, churn=CANARY)
    await live(WIDER)

    assert (await started(tmp_path, churn=CANARY))[0] == WIDER


async def test_a_file_that_has_changed_wins(tmp_path, live):
    await started(tmp_path, churn=CANARY)
    await live(None)

    assert (await started(tmp_path, churn=WIDER))[0] == WIDER


async def test_what_is_no_longer_in_the_file_is_taken_away(tmp_path):
    await started(tmp_path, churn=CANARY)

    assert (await started(tmp_path))[0] is None


async def test_what_was_changed_live_is_not_taken_away(tmp_path, live):
    await started(tmp_path, churn=CANARY)
    await live(WIDER)

    assert (await started(tmp_path))[0] == WIDER
    assert (await started(tmp_path, churn=CANARY))[0] == CANARY


async def test_a_route_waits_for_its_model_and_its_versions(desk):
    heard = []

    def emit(event):
        heard.append(event)
        events.emit(event)

    events = Events(stored, ignore)
    desk.registry._emit = emit
    routes = routes_of(desk)
    stated = Stated({"churn": Route((Share(1), Share(2)))}, routes, States(routes.records))
    delivering = asyncio.create_task(events.run())
    async with following(stated, events):
        assert stated.waiting == {"churn": "There is no model 'churn' yet."}
        await desk.upload(b"one")
        await events.settle()
        while "no version 2" not in stated.waiting["churn"]:
            await asyncio.sleep(0)
        await desk.upload(b"two")
        await events.settle()
        while stated.waiting:
            await asyncio.sleep(0)
        assert desk.registry.model("churn").route == stated.stated["churn"]
    delivering.cancel()
