"""The clock on the wall jumps under a running server, an hour back and a day ahead."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx

from tests.system.faults.load import loading
from tests.system.faults.scene import Seen, all_answered, scenes
from tests.system.faults.stage import Server, Stage, until

HOUR_S = 3600


class Clock:
    """What a server takes for the time on the wall; see `wall_clock`. Monotonic clocks go on, as they do."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.jump(0)

    @property
    def prefix(self) -> list[str]:
        """Words in front of a command that is to see this clock."""
        return ["env", f"FAULTS_CLOCK={self._file}"]

    def jump(self, seconds: float) -> None:
        """Be so far from the real time from now on."""
        scratch = self._file.with_suffix(".new")
        scratch.write_text(f"{seconds}")
        scratch.replace(self._file)


async def jumps(stage: Stage) -> Seen:
    """Deadlines, time-outs and restarts go by the monotonic clock."""
    clock = Clock(stage.directory / "clock")
    with stage.serving(prefix=clock.prefix) as server:
        url = server.send(stage.faulty("timeless", factor=2), idle_unload_s=600)
        async with loading(url, 2) as load:
            load.begin(100)
            for number, seconds, does in ((2, -HOUR_S, "raises"), (3, 24 * HOUR_S, "nan"), (4, 0, "exits")):
                clock.jump(seconds)
                await until(lambda expected=seconds: abs(seen_by(server) - time.time() - expected) < 60)
                await replace(server, number - 1)
                await asyncio.to_thread(server.send, stage.faulty("timeless", factor=2, does=does))
            await load.end()
            seen = all_answered(load)
        model = server.model("timeless")
    assert model["aliases"] == {"latest": 4}
    return Seen(f"{seen}; uploads and restarts go on")


def seen_by(server: Server) -> float:
    """Return what time it is for a server."""
    answer = httpx.get(f"{server.url}/health/live")
    return parsedate_to_datetime(answer.headers["date"]).timestamp()


async def replace(server: Server, number: int) -> None:
    """Kill a version's replica, and wait for the next one."""
    (pid,) = server.pids("timeless", number)
    os.kill(pid, signal.SIGKILL)
    await until(lambda: server.pids("timeless", number) not in ([], [pid]))


SCENES = scenes(("a clock that jumps an hour back and a day ahead", jumps, "slow"))
