"""Sleep and change of network are noticed by clocks and an address; here both are made up."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from prism_core.gateway.disturbances import watch

SLEPT, CHANGED = "This machine slept.", "The network of this machine changed."


@pytest.mark.parametrize(
    ("looks", "said"),
    [
        ([(0, 0, "a"), (5, 5, "a"), (10, 10, "a")], ["", ""]),
        ([(0, 0, "a"), (900, 5, "a"), (905, 10, "a")], [SLEPT, ""]),
        ([(0, 0, "a"), (900, 900, "b"), (905, 905, "b")], [SLEPT, ""]),
        ([(0, 0, "a"), (5, 5, "127.0.0.1"), (10, 10, "b"), (15, 15, "b")], [CHANGED, CHANGED, ""]),
    ],
)
async def test_each_disturbance_is_told_once(looks, said):
    wall, monotonic, address = (iter(column) for column in zip(*looks, strict=True))
    told, over = [], asyncio.Event()

    async def look(disturbance):
        told.append(disturbance)
        if len(told) == len(said):
            over.set()

    clocks = (lambda: next(wall), lambda: next(monotonic))
    watching = asyncio.create_task(watch(look, lambda: next(address), clocks, tick_s=0.0))
    await over.wait()
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching

    assert told == said


async def test_a_look_that_fails_is_not_the_last():
    told, over = [], asyncio.Event()

    async def look(disturbance):
        told.append(disturbance)
        if len(told) == 3:
            over.set()
        raise RuntimeError("a fault")

    watching = asyncio.create_task(watch(look, lambda: "a", tick_s=0.0))
    await over.wait()
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching

    assert told == [""] * 3
