"""Models that misbehave on some request, beside callers who have nothing to do with it."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.system.faults.load import Load, loading
from tests.system.faults.scene import Seen, scenes, told
from tests.system.faults.stage import Server, Stage, until

# What makes a faulty model do what it was told.
BAD = -1.0
MB = 1 << 20


@asynccontextmanager
async def misbehaving(stage: Stage, does: str, **request) -> AsyncIterator[tuple[Server, Load, Load]]:
    """Upload a model that ``does`` something at a negative number; load it; give a second, silent load."""
    server = stage.common()
    name = does.replace("_", "-")
    url = server.send(stage.faulty(name, factor=2, does=does), **request)
    async with loading(url, 2) as innocent, loading(url, 2, "Cache-Control: no-store") as guilty:
        innocent.begin(200)
        await asyncio.sleep(0.1)
        yield server, innocent, guilty
        await innocent.end()


def seen_of(innocent: Load, guilty: Load, healthy_s: float = math.nan) -> Seen:
    """Return what both saw; fails where an innocent request was not answered."""
    others = innocent.outcomes()
    assert set(others) == {"200"}, others
    return Seen(
        f"the guilty: {told(guilty.outcomes())}; the {others['200']:,} beside it: 200", healthy_s=healthy_s
    )


async def answers_badly(stage: Stage, does: str, expected: str) -> Seen:
    async with misbehaving(stage, does) as (server, innocent, guilty):
        (before,) = server.pids(does.replace("_", "-"))
        for _ in range(10):
            await guilty.answer(BAD)
            await asyncio.sleep(0.02)
        assert server.pids(does.replace("_", "-")) == [before]
    assert set(guilty.outcomes()) == {expected}, guilty.outcomes()
    return seen_of(innocent, guilty)


async def raises(stage: Stage) -> Seen:
    return await answers_badly(stage, "raises", "500 model_failed")


async def too_few(stage: Stage) -> Seen:
    return await answers_badly(stage, "too_few", "500 model_failed")


async def nan(stage: Stage) -> Seen:
    """NaN is no number of JSON; it is answered as null, which is what most clients can read."""
    async with misbehaving(stage, "nan") as (_, innocent, guilty):
        fate = await guilty.answer(BAD)
    assert (fate.status, fate.right) == (200, False)
    seen = seen_of(innocent, guilty)
    return Seen(seen.caller.replace("200 wrong", "200 with `null`"))


async def exits(stage: Stage) -> Seen:
    """A request that ends its replica: it is told apart from those that were beside it."""
    async with misbehaving(stage, "exits") as (server, innocent, guilty):
        (before,) = server.pids("exits")
        moment = time.monotonic()
        await guilty.answer(BAD)
        await until(lambda: server.pids("exits") not in ([], [before]))
        assert server.version("exits")["state"] == "READY"
    assert set(guilty.outcomes()) == {"502 replica_lost"}, guilty.outcomes()
    lost = server.version("exits")["replicas"][0]["restarts"]
    assert lost <= 3
    seen = seen_of(innocent, guilty)
    return Seen(f"{seen.caller}; {lost} replicas lost", healthy_s=guilty.fates[0].ended - moment)


async def many_exits(stage: Stage) -> Seen:
    """Whoever sends one such request after the other cannot end the model for all others."""
    async with misbehaving(stage, "exits") as (server, innocent, guilty):
        for _ in range(2):  # six together cost eight replicas, one after the other
            await guilty.over([guilty.ask(BAD - number) for number in range(6)])
        assert server.version("exits")["state"] == "READY"
    assert set(guilty.outcomes()) == {"502 replica_lost"}, guilty.outcomes()
    seen = seen_of(innocent, guilty)
    return Seen(f"{seen.caller}, the slowest after {innocent.slowest_s():.1f} s")


async def prints(stage: Stage) -> Seen:
    """1 GB of output: the log is trimmed, the disk stays as it is."""
    async with misbehaving(stage, "prints") as (server, innocent, guilty):
        fate = await guilty.answer(BAD)
        directory = server.data_dir / "replicas" / "prints-1-0"
        await until(lambda: sum(file.stat().st_size for file in directory.iterdir()) < 64 * MB, 30)
    assert fate.right, guilty.outcomes()
    seen = seen_of(innocent, guilty)
    return Seen(f"{seen.caller}, after {fate.seconds:.1f} s of printing", "all but the end of its log")


async def leaks(stage: Stage) -> Seen:
    """8 MB a request: replaced when it is beyond its limit; nobody notices."""
    async with misbehaving(stage, "leaks", memory_limit_bytes=256 * MB) as (server, innocent, guilty):
        (before,) = server.pids("leaks")
        for _ in range(40):
            await guilty.answer(BAD)
        moment = time.monotonic()
        await until(lambda: server.pids("leaks") not in ([], [before]))
        reason = server.version("leaks")["replicas"][0]["last_loss"]
    assert "memory" in reason, reason
    assert set(guilty.outcomes()) == {"200"}, guilty.outcomes()
    return seen_of(innocent, guilty, innocent.resumed_s(moment))


SCENES = scenes(
    ("a model that raises", raises),
    ("a model that answers too few rows", too_few),
    ("a model that answers NaN", nan),
    ("a model that calls `os._exit`", exits),
    ("a model that calls `os._exit` again and again", many_exits, "slow"),
    ("a model that prints 1 GB", prints, "slow"),
    ("a model that leaks memory", leaks, "slow"),
)
