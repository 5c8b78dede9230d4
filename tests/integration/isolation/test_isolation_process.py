"""What a replica's process has and has not, however it was started."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from contextlib import ExitStack

import attrs
import numpy as np
import psutil
import pytest
import pytest_asyncio

from prism_core.errors import LaunchFailed
from prism_core.isolation import forking
from prism_core.isolation.forking import pid_of
from prism_core.logfile import MAX_LOG_BYTES
from prism_core.protocols import ReplicaHandle
from prism_core.testing.isolation import numbers_of

from .conftest import Scene, open_toys

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(params=[True, False], ids=["forked", "spawned"])
def forked(request) -> bool:
    return request.param


@pytest_asyncio.fixture(loop_scope="module")
async def scene(shared, forked, tmp_path):
    """A scene on a launcher that all tests share; what a test starts, it leaves ended."""
    with ExitStack() as sockets:
        scene = Scene(await shared(forked), tmp_path, sockets)
        yield scene
        await scene.end()


async def test_a_replica_leads_a_session_in_its_own_directory(scene):
    handle = await scene.start()

    facts = await scene.ask(handle)

    assert facts["pid"] == facts["session"] == facts["group"]
    assert facts["pid"] in numbers_of(handle.pid)
    assert facts["cwd"] == str(scene.directory / "toy-1-0")


async def test_it_sees_no_descriptor_but_its_own(scene):
    """Three streams, the listener, the life line; then the listing's own and the connection."""
    others = [await scene.start(f"toy-1-{n}") for n in range(3)]

    facts = [await scene.ask(handle) for handle in others]

    assert [len(each["descriptors"]) for each in facts] == [7, 7, 7]


async def test_under_uvloop_as_well(toys, tmp_path):
    """Its subprocesses would inherit what a shell left open, and copies of the streams."""
    loud = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(loud, True)
    process = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, toys / "toy_uvloop.py", tmp_path],
        capture_output=True,
        text=True,
        timeout=60,
        close_fds=False,
        check=True,
    )
    os.close(loud)

    assert process.stdout.split() == ["7", "7", "0", "0"]


async def test_it_has_one_thread(scene):
    """Its tie to the gateway's life costs none."""
    assert (await scene.ask(await scene.start()))["tasks"] == 1


async def test_numeric_libraries_are_limited_before_import(scene):
    variables = (await scene.ask(await scene.start()))["variables"]

    assert variables["OMP_NUM_THREADS"] == variables["OPENBLAS_NUM_THREADS"] == "1"


async def test_more_threads_mean_a_fresh_interpreter(scene):
    handle = await scene.start(threads=2)
    facts = await scene.ask(handle)

    assert facts["variables"]["OMP_NUM_THREADS"] == "2"
    assert "prism_core.isolation.child" in psutil.Process(handle.pid).cmdline()


async def test_the_gateways_settings_are_not_passed_on(make_scene, forked, monkeypatch):
    monkeypatch.setenv("PRISM_SECRET", "hush")
    scene = await make_scene(zygote=forked)

    assert "PRISM_SECRET" not in (await scene.ask(await scene.start()))["variables"]


async def test_siblings_draw_different_random_numbers(scene):
    draws = [(await scene.ask(await scene.start(f"toy-1-{n}")))["random"] for n in range(2)]

    assert draws[0][0] != draws[1][0]
    assert draws[0][1] != draws[1][1]


async def test_the_gateways_own_random_state_is_left_alone(scene):
    random.seed(1), np.random.seed(1)
    await scene.ask(await scene.start())

    assert random.random() == random.Random(1).random()
    assert np.random.random() == np.random.RandomState(1).random_sample()


async def test_output_is_its_log(scene):
    handle = await scene.start()
    await scene.ask(handle)

    assert await scene.log() == ["toy is up"]


async def test_a_trace_is_in_the_log(scene):
    handle = await scene.start("broken-1-0")

    assert await scene.ended(handle) == 1
    assert (await scene.log("broken-1-0"))[-1] == "RuntimeError: the toy is broken"


async def test_an_entry_that_does_not_exist_is_in_the_log(make_scene, forked):
    scene = await make_scene("nothing", zygote=forked)

    assert await scene.ended(await scene.start()) == 1
    assert "nothing" in (await scene.log())[-1]


@pytest.mark.parametrize("code", [0, 3, 255])
async def test_the_exit_code_is_reported(scene, code):
    handle = await scene.start(f"leave-{code}")

    assert await scene.ended(handle) == code
    assert await scene.launcher.poll(handle) == code


async def test_a_process_that_is_gone_has_no_number():
    """The kernel says -1, and to signal that is to signal everybody."""
    process = await asyncio.create_subprocess_exec("sleep", "60")
    pidfd = os.pidfd_open(process.pid)
    assert pid_of(pidfd) == process.pid
    process.kill()
    await process.wait()

    assert pid_of(pidfd) == 0
    os.close(pidfd)


async def test_a_replica_that_is_gone_before_it_is_seen_is_stopped_without_a_signal(make_scene, monkeypatch):
    """One that leaves at once may be reaped before its number is looked up."""
    scene = await make_scene()
    monkeypatch.setattr(forking, "pid_of", lambda pidfd: 0)
    signalled = []
    for call in ("kill", "killpg"):
        monkeypatch.setattr(os, call, lambda *to: signalled.append(to))
    first, second = await scene.start("leave-3"), await scene.start("leave-4")
    await scene.launcher.stop(first, 0)
    await scene.launcher.stop(second, 0)

    assert signalled == []
    assert [await scene.ended(first), await scene.ended(second)] == [3, 4]


async def test_a_signal_is_a_negative_code(scene):
    assert await scene.ended(await scene.start("crash-1-0")) == -signal.SIGSEGV


async def test_stop_kills_what_does_not_listen_and_all_it_started(scene, gone):
    handle = await scene.start("stubborn-1-0", sandbox="off")
    async with asyncio.timeout(30):
        family = int((await scene.tell(handle))[0])

    await scene.launcher.stop(handle, grace_s=0.1)

    assert await scene.launcher.poll(handle) == -signal.SIGKILL
    assert gone(family, 2)


async def test_one_that_has_only_just_begun_can_be_killed(scene):
    """It may not lead its group yet."""
    await scene.launcher.stop(await scene.start("toy-0-0"), 5)  # the zygote is warm now
    for n in range(20):
        handle = await scene.start(f"toy-1-{n}")
        async with asyncio.timeout(5):
            await scene.launcher.stop(handle, grace_s=0)


async def test_a_grandchild_does_not_outlive_its_replica(scene, gone):
    handle = await scene.start("stubborn-1-0", sandbox="off")
    family = int((await scene.tell(handle))[0])

    os.kill(handle.pid, signal.SIGKILL)

    assert await scene.ended(handle) == -signal.SIGKILL
    assert gone(family, 2)


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA counts mappings on Linux only")
async def test_one_huge_allocation_is_a_memory_error(scene):
    handle = await scene.start("hungry-1-0", memory_limit_bytes=50 << 20)

    assert await scene.ended(handle) == 7
    assert await scene.log("hungry-1-0") == ["MemoryError"]


async def test_without_a_listener_it_gets_one(scene):
    handle = await scene.launcher.start(scene.spec(), None)

    assert handle.address.startswith("tcp:127.0.0.1:")
    assert (await scene.ask(handle))["pid"] in numbers_of(handle.pid)


async def test_the_listener_stays_the_callers(scene):
    listener = scene.listen()
    for n in range(2):
        handle = await scene.launcher.start(scene.spec(f"toy-1-{n}"), listener)
        assert (await scene.ask(handle))["spec"] == f"toy-1-{n}"
        await scene.launcher.stop(handle, 5)


async def test_a_large_log_is_put_aside(scene):
    directory = scene.directory / "toy-1-0"
    directory.mkdir()
    with (directory / "log").open("wb") as log:
        log.truncate(MAX_LOG_BYTES + 1)
    await scene.ask(await scene.start())

    assert await scene.log() == ["toy is up"]
    assert (directory / "log.1").stat().st_size == MAX_LOG_BYTES + 1


async def test_usage_counts_what_is_its_own(scene, forked):
    handle = await scene.start()
    await scene.ask(handle)

    usage = await scene.launcher.usage(handle)

    assert usage.memory_bytes < (15 << 20 if forked else 100 << 20)


async def test_an_interpreter_that_is_gone_is_named_by_its_environment(scene):
    with pytest.raises(LaunchFailed, match="environment 'toy'"):
        await scene.start(python="/nowhere/python")


async def test_a_directory_that_cannot_be_made_is_refused(scene):
    (scene.directory / "file").touch()
    spec = attrs.evolve(scene.spec(), directory=scene.directory / "file" / "x")
    with pytest.raises(LaunchFailed, match="log of replica 'toy-1-0'"):
        await scene.launcher.start(spec, scene.listen())


async def test_a_failed_or_ended_start_leaves_no_descriptor(scene):
    warm = await scene.start()
    await scene.launcher.stop(warm, 5)
    before = len(os.listdir("/dev/fd"))

    with ExitStack() as stack:
        handle = await scene.launcher.start(scene.spec(), stack.enter_context(scene.listen()))
        await scene.launcher.stop(handle, 5)
    with pytest.raises(LaunchFailed), scene.listen() as listener:
        await scene.launcher.start(scene.spec(python="/nowhere/python"), listener)

    assert len(os.listdir("/dev/fd")) <= before


async def test_a_handle_of_another_gateway_is_polled_by_pid_and_start_time(scene):
    handle = await scene.start()
    stranger = attrs.evolve(handle, started=handle.started - 100)
    dead = ReplicaHandle("old-1-0", "process", 2**22 - 1, 1.0, "unix:/nowhere")

    assert await scene.launcher.poll(stranger) == -1
    assert await scene.launcher.poll(dead) == -1
    assert await scene.launcher.wait(dead) == -1
    await scene.launcher.stop(stranger, 5)
    assert await scene.launcher.poll(handle) is None


async def test_another_launcher_can_stop_it(scene, make_scene):
    handle = await scene.start()
    await scene.ask(handle)
    other = await make_scene()

    assert await other.launcher.poll(handle) is None
    await other.launcher.stop(handle, 5)

    assert await scene.ended(handle) == 0


async def test_closing_the_launcher_leaves_nothing(tmp_path, forked, gone):
    async with open_toys(zygote=forked) as launcher:
        with ExitStack() as sockets:
            scene = Scene(launcher, tmp_path, sockets)
            handle = await scene.start()
            parent = (await scene.ask(handle))["parent"]

    assert gone(handle.pid, 0)
    assert parent == os.getpid() or gone(parent, 2)
