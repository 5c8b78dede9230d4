"""Replicas are tied to the gateway's life, and cost nothing while they wait."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time

import psutil
import pytest

from prism_core.isolation.process import available

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(bool(available()), reason=available() or "-"),
]


@pytest.fixture
def gateway(toys, tmp_path):
    """A gateway in a process of its own, and the pids of all that it started."""
    with subprocess.Popen(
        [sys.executable, toys / "toy_gateway.py", tmp_path], stdout=subprocess.PIPE, text=True
    ) as process:
        for line in process.stdout:
            if line == "ready\n":
                break
        yield process, [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
        process.kill()


async def test_nothing_survives_a_killed_gateway(gateway, gone):
    """An idle replica, one that holds the interpreter lock, a spawned one, and the zygote."""
    process, pids = gateway
    assert len(pids) >= 3

    process.send_signal(signal.SIGKILL)

    deadline = time.monotonic() + 2
    assert all(gone(pid, max(0, deadline - time.monotonic())) for pid in pids)


async def test_waiting_costs_no_cpu(scene):
    """Neither the replica, nor the zygote, nor the gateway's end of it wakes up."""
    handle = await scene.start()
    zygote = (await scene.ask(handle))["parent"]
    processes = [psutil.Process(pid) for pid in (handle.pid, zygote)]

    before: list[int] = []
    async with asyncio.timeout(10):  # a second without one wake-up, soon after the greeting
        while before != (before := [process.num_ctx_switches().voluntary for process in processes]):
            await asyncio.sleep(1)
