"""Feedback as the leader opens it: what a route says counts, and what a model leaves is forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from prism_core.errors import AnswerNotFound
from prism_core.gateway.registry import Model
from prism_core.gateway.traffic.desk import Desk
from prism_core.gateway.traffic.feedback import open_learning
from prism_core.gateway.traffic.kinds import Judged, Remembered
from prism_core.settings import FeedbackSettings
from prism_core.specs import ModelEvent
from prism_core.traffic.feedback import Feedback
from prism_core.traffic.route import Route
from tests.unit.gateway.test_bandits import Kept

NUMBERS = b'{"predictions": [10.5]}'


class Told:
    """Events, as they are put in."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[ModelEvent] = asyncio.Queue()

    async def subscribe(self) -> AsyncIterator[ModelEvent]:
        while True:
            yield await self.queue.get()
            self.queue.task_done()


class Followers:
    """One follower, that has an answer to tell of when it is asked."""

    def __init__(self, desk: Desk) -> None:
        self.members, self.greetings, self.desk = [1], [], desk
        self.late: list[Remembered] = []

    def tell(self, command: Any) -> None:
        """Hear nothing."""

    async def in_flight(self) -> None:
        self.desk.hear_all(self.late)


@pytest.fixture
async def scene(tmp_path):
    desk, events = Desk(), Told()
    followers = Followers(desk)
    model = Model("m", versions={1: None}, route=Route(feedback=Feedback(tolerance=4.0)))
    registry: Any = SimpleNamespace(models={"m": model})
    heard: list[Judged] = []
    desk.want(Judged, heard.append)
    opened = open_learning(tmp_path, FeedbackSettings(), desk, registry, followers, Kept(), events)
    async with opened as learning:
        yield SimpleNamespace(
            desk=desk,
            judging=learning.judging,
            followers=followers,
            registry=registry,
            events=events,
            heard=heard,
        )


def answer(request: str) -> Remembered:
    return Remembered(9e9, request, "m", 1, "m/1", "m/1", 0.5, "", "y", "application/json", NUMBERS)


async def judge(scene, request):
    body = b'{"request_id": "%b", "label": 11.5}' % request.encode()
    return await scene.judging.judge(body, "application/json", lambda one: True)


async def test_the_route_says_how_far_off_is_worth_nothing(scene):
    scene.desk.hear(answer("r"))
    await judge(scene, "r")

    assert [one.reward for one in scene.heard] == [0.75]


async def test_an_answer_of_a_follower_is_asked_for(scene):
    scene.followers.late.append(answer("late"))

    assert (await judge(scene, "late"))["judged"] == 1


async def test_a_model_that_is_removed_leaves_nothing(scene):
    """While one of its versions is removed, its answers stay."""
    scene.desk.hear(answer("r"))
    scene.events.queue.put_nowait(ModelEvent("model.removed", "m", 2, 0.0, {}))
    await scene.events.queue.join()
    assert (await judge(scene, "r"))["judged"] == 1
    del scene.registry.models["m"]
    scene.events.queue.put_nowait(ModelEvent("model.removed", "m", 1, 0.0, {}))
    await scene.events.queue.join()

    with pytest.raises(AnswerNotFound):
        await judge(scene, "r")


async def test_what_a_follower_tells_later_of_a_model_that_is_gone_is_not_remembered(scene):
    model = scene.registry.models.pop("m")
    scene.desk.hear(answer("late"))
    scene.registry.models["m"] = model

    with pytest.raises(AnswerNotFound):
        await judge(scene, "late")
