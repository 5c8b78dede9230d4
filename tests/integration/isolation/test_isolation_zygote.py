"""The warm process: what it warms, and what happens when it dies, hangs, or may not fork."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from prism_core.errors import LaunchFailed
from prism_core.isolation.process import start_method
from prism_core.testing.isolation import numbers_of

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(start_method()[0] != "zygote", reason=start_method()[1] or "-"),
]


async def test_replicas_of_one_environment_share_one_zygote(scene):
    parents = [(await scene.ask(await scene.start(f"toy-1-{n}")))["parent"] for n in range(2)]
    other = (await scene.ask(await scene.start("toy-2-0", environment="other")))["parent"]

    assert parents[0] == parents[1] != os.getpid()
    assert other != parents[0]


async def test_what_a_loader_requires_is_imported_before_the_fork(scene):
    handle = await scene.start(warm=("toy_calm",))

    assert "toy_calm" in (await scene.ask(handle))["modules"]


async def test_a_module_that_cannot_be_imported_is_skipped(scene):
    facts = await scene.ask(await scene.start(warm=("toy_broken", "toy_nowhere", "toy_calm")))

    assert "toy_calm" in facts["modules"]


async def test_a_module_that_starts_threads_is_left_to_the_replica(scene):
    """The zygote that imported it never forks again; the next one leaves that module out."""
    before = await scene.start("toy-1-0")
    first = await scene.ask(before)
    handle = await scene.start("toy-2-0", warm=("toy_threaded", "toy_calm"))
    facts = await scene.ask(handle)

    assert facts["parent"] not in (first["parent"], os.getpid())
    assert "toy_threaded" not in facts["modules"]
    assert facts["tasks"] == 1


async def test_a_rehearsal_is_held_once_for_each_set_of_plugins(scene):
    replicas = [("toy-1-0", ("broken",)), ("toy-2-0", ("b",)), ("toy-1-1", ("broken",)), ("toy-2-1", ("b",))]
    asked = [await scene.ask(await scene.start(name, plugins=plugins)) for name, plugins in replicas]

    assert len({facts["parent"] for facts in asked}) == 1
    assert asked[-1]["rehearsals"][-2:] == [["broken"], ["b"]]
    assert asked[-1]["rehearsals"].count(["b"]) == 1


async def test_a_rehearsal_that_starts_threads_is_left_out(scene):
    facts = await scene.ask(await scene.start("toy-9-0", environment="loud", plugins=("threaded",)))

    assert (facts["rehearsals"], facts["tasks"]) == ([], 1)


async def test_a_retired_zygote_reports_its_last_replica_and_ends(scene, gone):
    before = await scene.start("toy-1-0")
    retired = (await scene.ask(before))["parent"]
    await scene.start("toy-2-0", warm=("toy_threaded",))

    await scene.launcher.stop(before, 5)

    assert await scene.launcher.poll(before) == 0
    assert gone(retired, 2)


async def test_an_interpreter_that_always_has_threads_is_spawned(scene, monkeypatch, tmp_path, toys):
    (tmp_path / "sitecustomize.py").write_text("import toy_threaded")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{toys}")

    facts = await scene.ask(await scene.start())

    assert facts["parent"] == os.getpid()


async def test_replicas_outlive_their_zygote(scene):
    handle = await scene.start()
    zygote = (await scene.ask(handle))["parent"]
    os.kill(zygote, signal.SIGKILL)
    other = await scene.ask(await scene.start("toy-1-1"))

    assert other["parent"] not in (zygote, os.getpid())
    assert (await scene.ask(handle))["pid"] in numbers_of(handle.pid)
    await scene.launcher.stop(handle, 5)
    assert await scene.launcher.poll(handle) == -1


async def test_an_idle_zygote_that_dies_is_replaced(scene, gone):
    handle = await scene.start()
    zygote = (await scene.ask(handle))["parent"]
    os.kill(zygote, signal.SIGKILL)
    assert gone(zygote, 2)
    await asyncio.sleep(0)  # the loop hears of it

    assert (await scene.ask(await scene.start("toy-1-1")))["pid"]


async def test_a_zygote_that_is_killed_in_the_middle_of_a_start_is_replaced(scene):
    """The start that was under way is done by the next one."""
    first = await scene.start()
    zygote = (await scene.ask(first))["parent"]
    os.kill(zygote, signal.SIGSTOP)
    starting = asyncio.create_task(scene.start("toy-1-1"))
    await asyncio.sleep(0.05)
    assert not starting.done()

    os.kill(zygote, signal.SIGKILL)

    facts = await scene.ask(await starting)
    assert facts["spec"] == "toy-1-1"
    assert facts["parent"] != zygote


async def test_a_zygote_that_hangs_is_replaced_once_then_it_is_said(make_scene):
    scene = await make_scene(launch_s=1.0)

    with pytest.raises(LaunchFailed, match="no answer in 1 s"):
        await scene.start(warm=("toy_slow",))

    assert (await scene.ask(await scene.start("toy-1-1")))["pid"]


async def test_an_environment_without_prism_says_so(make_scene, tmp_path):
    """The zygote's last words are the reason."""
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho 'No module named prism_core' >&2\nexit 1\n")
    python.chmod(0o755)
    scene = await make_scene()

    with pytest.raises(LaunchFailed, match="No module named prism_core"):
        await scene.start(python=str(python))


async def test_two_starts_at_once_on_a_cold_zygote(scene):
    handles = await asyncio.gather(*(scene.start(f"toy-1-{n}") for n in range(5)))
    facts = [await scene.ask(handle) for handle in handles]

    assert len({each["pid"] for each in facts}) == 5
    assert len({each["parent"] for each in facts}) == 1


async def test_a_cancelled_start_leaves_no_process(scene):
    """Its life line is closed, so what the zygote still forks ends at once."""
    first = await scene.start()
    zygote = (await scene.ask(first))["parent"]
    os.kill(zygote, signal.SIGSTOP)
    starting = asyncio.create_task(scene.start("toy-1-1"))
    await asyncio.sleep(0.05)
    starting.cancel()
    os.kill(zygote, signal.SIGCONT)
    with pytest.raises(asyncio.CancelledError):
        await starting

    await scene.ask(await scene.start("toy-1-2"))  # answered after the cancelled one
    async with asyncio.timeout(5):
        while len(children(zygote)) != 2:
            await asyncio.sleep(0.01)
    assert await scene.log("toy-1-1") == []


async def test_a_stuck_zygote_does_not_hide_an_exit(scene):
    handle = await scene.start()
    zygote = (await scene.ask(handle))["parent"]
    os.kill(zygote, signal.SIGSTOP)
    try:
        await scene.launcher.stop(handle, 1)
        assert await scene.launcher.poll(handle) == -1
    finally:
        os.kill(zygote, signal.SIGCONT)


def children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]
