"""An isolation backend that makes something of an environment before its replicas start: an image."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from prism_core.errors import EnvironmentFailed, IllegalTransition
from prism_core.specs import IsolationBackend


class Preparing:
    """Makes nothing, and says so; ``gate`` holds it, ``error`` fails it."""

    def __init__(self):
        self.recipes, self.error = [], None
        self.gate = asyncio.Event()
        self.gate.set()

    async def prepare(self, recipe, tell):
        self.recipes.append(recipe)
        tell({"phase": "image", "text": "Packing numpy"})
        await self.gate.wait()
        if self.error:
            raise self.error


@pytest.fixture
def preparing(desk):
    launcher = Preparing()

    @asynccontextmanager
    async def open_it(config):
        yield launcher

    desk.operator.launchers.records["preparing"] = IsolationBackend("preparing", open=open_it)
    return launcher


async def test_it_is_part_of_the_step_environment(desk, preparing):
    told = []
    await desk.upload(
        b"one", isolation="preparing", progress=lambda step, facts: told.append((step, facts.get("text")))
    )

    assert told.index(("environment", "Packing numpy")) < told.index(("start", None))
    assert preparing.recipes == [None]


async def test_what_fails_ends_the_upload_before_anything_is_started(desk, preparing):
    preparing.error = EnvironmentFailed("There is no base image.")

    with pytest.raises(EnvironmentFailed) as caught:
        await desk.upload(b"one", isolation="preparing")

    assert caught.value.details["step"] == "environment"
    assert (desk.supervisor.started, desk.files) == ([], [])


async def test_it_is_given_up_for_a_version_that_nobody_wants_any_more(desk, preparing):
    preparing.gate.clear()
    uploading = asyncio.create_task(desk.upload(b"one", isolation="preparing"))
    while not preparing.recipes:
        await asyncio.sleep(0)
    desk.operator.break_off([desk.registry.version("churn", 1)])

    with pytest.raises(IllegalTransition, match="its environment was prepared"):
        await uploading
