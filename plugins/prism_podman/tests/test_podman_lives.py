"""How containers end, what is said of it, and what is left: nothing."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import signal
import tempfile
from contextlib import suppress
from functools import partial

import msgspec
import pytest

from prism_core.optimization import OUTCOME_FILE, TASK_FILE, Task
from prism_core.plugin import OPTIMIZE, LaunchFailed
from prism_core.probe import MB, Wall
from prism_core.testing.isolation import say_hello
from prism_core.testing.walls import attempt
from prism_core.wire import Error, Ready
from prism_podman import containers
from prism_podman.commands.doctor import examined
from prism_podman.config import PodmanConfig
from prism_podman.creating import REPLICA, SERVER
from prism_podman.diagnosis import MISSING, OK
from prism_podman.engine import open_engine
from prism_podman.machine import missing
from prism_podman.replica import Container

pytestmark = [
    pytest.mark.podman,
    pytest.mark.system,
    pytest.mark.sweep,
    pytest.mark.skipif(bool(missing()), reason=missing() or "-"),
]
WAIT_S = 60


# Other runs of these tests may use the same Podman.
OTHER, MINE = (f"test-{name}-{secrets.token_hex(4)}" for name in ("other", "mine"))


async def ended(launcher, handle):
    async with asyncio.timeout(WAIT_S):
        return await launcher.wait(handle)


@pytest.fixture
def listed(podman):
    """Return the names of the replicas whose containers have a label."""

    async def find(**labels):
        async with open_engine(PodmanConfig(socket=podman)) as engine:
            found = await engine.call(partial(containers.listed, labels=labels))
        return sorted(one["Labels"][REPLICA] for one in found)

    return find


async def test_a_kill_from_outside_is_said_to_be_one(open_launcher, scene_of):
    async with open_launcher() as launcher:
        handle, _ = await scene_of(launcher).start()

        os.kill(handle.pid, signal.SIGKILL)

        assert await ended(launcher, handle) == -9
        assert "from outside, probably for its memory" in launcher.reason(handle)


async def test_an_end_that_was_asked_for_needs_no_reason(open_launcher, scene_of):
    async with open_launcher() as launcher:
        handle, _ = await scene_of(launcher).start()

        await launcher.stop(handle, 0)

        assert await launcher.poll(handle) == -9
        assert launcher.reason(handle) == ""


async def test_an_end_for_memory_is_said_to_be_one(open_launcher, scene_of, nowhere):
    greedy = msgspec.structs.replace(nowhere, memory_mb=1024)
    async with open_launcher() as launcher:
        handle, _ = await scene_of(launcher).start(facts=greedy, memory_limit_bytes=128 * MB)
        try:
            told = await attempt(handle.address, [Wall.MEMORY])
        except ConnectionError:
            assert await ended(launcher, handle) == -9
            assert launcher.reason(handle) == f"it ran out of memory, beyond the limit of {128 * MB} bytes"
        else:  # nothing bounds it but itself: a plain user's under control groups of version 1
            assert "without memory" in (await say_hello(handle.address)).sandbox
            assert told == {Wall.MEMORY: ""}


async def test_the_next_server_removes_what_was_left_and_no_other_servers(
    open_launcher, scene_of, listed, tmp_path
):
    async with open_launcher(namespace=OTHER) as other, open_launcher(namespace=MINE) as mine:
        theirs, _ = await scene_of(other).start("theirs-1-0")
        left, _ = await scene_of(mine).start("left-1-0")
        assert await listed(**{SERVER: MINE}) == ["left-1-0"]

        async with open_launcher(namespace=MINE) as again:
            assert await listed(**{SERVER: MINE}) == []
            assert await again.poll(left) == -1
            await again.stop(left, 0)

        assert await ended(mine, left) != 0
        assert await listed(**{SERVER: OTHER}) == ["theirs-1-0"]
        assert isinstance(await say_hello(theirs.address), Ready)


async def test_closing_leaves_nothing(open_launcher, scene_of, listed):
    async with open_launcher(namespace=MINE) as launcher:
        handle, spec = await scene_of(launcher).start()
        await say_hello(handle.address)

    assert await listed(**{SERVER: MINE}) == []
    assert not os.path.exists(handle.address.removeprefix("unix:"))
    assert [line async for line in launcher.logs(spec.directory, 5, False)]


async def test_a_start_that_nobody_waits_for_leaves_nothing(open_launcher, scene_of, listed, monkeypatch):
    monkeypatch.setattr(Container, "connectable", False)  # or it may be over before it is given up
    async with open_launcher(namespace=MINE) as launcher:
        starting = asyncio.create_task(scene_of(launcher).start())
        async with asyncio.timeout(WAIT_S):
            while not await listed(**{SERVER: MINE}):
                await asyncio.sleep(0.01)

        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)

        assert await listed(**{SERVER: MINE}) == []


async def test_a_service_that_dies_is_started_again(open_launcher, scene_of):
    """And what runs does not notice."""
    async with open_launcher(socket="") as launcher:
        service = launcher.engine.service
        if service is None:
            pytest.skip("this machine has a service of its own")
        first, _ = await scene_of(launcher).start("first-1-0")

        service.process.kill()
        await asyncio.to_thread(service.process.wait)

        second, _ = await scene_of(launcher).start("second-1-0")
        for handle in (first, second):
            assert isinstance(await say_hello(handle.address), Ready)
            await launcher.stop(handle, 5)


async def test_a_port_needs_the_token(open_launcher, scene_of):
    """The form for a Podman in a virtual machine: anybody on this machine could connect."""
    async with open_launcher(address="tcp") as launcher:
        handle, spec = await scene_of(launcher).start(token="s3cret")

        assert handle.address.startswith("tcp:127.0.0.1:")
        assert isinstance(await say_hello(handle.address, spec.token), Ready)
        assert isinstance(await say_hello(handle.address, "guess"), Error)


async def test_a_conversion_leaves_what_the_server_can_read_and_remove(
    open_launcher, scene_of, spec_of, tmp_path
):
    """Its files belong to the model's user, another one than the server's."""
    spec = spec_of(tmp_path / "churn-1-optimize", "churn-1-optimize", task=OPTIMIZE)
    (spec.directory / TASK_FILE).write_bytes(msgspec.json.encode(Task("nobody", "")))
    async with open_launcher() as launcher:
        handle = await launcher.start(spec, None)

        assert await ended(launcher, handle) == 0

    outcome = json.loads((spec.directory / OUTCOME_FILE).read_bytes())
    assert "'nobody'" in outcome["optimization"]["reason"]
    assert (spec.directory / OUTCOME_FILE).stat().st_uid != os.geteuid()
    shutil.rmtree(spec.directory)


async def test_what_podman_refuses_is_told_in_its_words(open_launcher, scene_of):
    async with open_launcher() as launcher:
        with pytest.raises(LaunchFailed, match="gone"):
            await scene_of(launcher).start(artifact=(scene_of(launcher).directory / "gone"))


async def test_the_doctor_tries_a_container(podman, recipe):
    found = {one.name: one for one in await examined(PodmanConfig(socket=podman))}

    assert {"service", "version", "limits", "storage"} < set(found)
    assert (found["trial"].state, found["address"].state) == (OK, OK), found["trial"]


async def test_the_doctor_says_that_nothing_answers(tmp_path):
    (found,) = await examined(PodmanConfig(socket=f"{tmp_path}/nobody.sock"))

    assert (found.name, found.state) == ("service", MISSING)
    assert "nobody.sock" in found.detail


async def test_what_is_no_podman_is_told_so(tmp_path):
    """Docker, for instance: it does not know Podman's routes."""

    async def refuse(reader, writer):
        with suppress(asyncio.IncompleteReadError):  # it is first tried whether anything listens
            await reader.readuntil(b"\r\n\r\n")
            body = b'{"message": "page not found"}'
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        writer.close()

    with tempfile.TemporaryDirectory(prefix="prism-test-") as directory:
        async with await asyncio.start_unix_server(refuse, f"{directory}/docker.sock"):
            (found,) = await examined(PodmanConfig(socket=f"{directory}/docker.sock"))

    assert "is not Podman" in found.detail
    assert "Docker" in found.hint


async def test_replicas_of_two_models_are_two_users(open_launcher, scene_of):
    async with open_launcher() as launcher:
        scene = scene_of(launcher)
        starts = (scene.start(name) for name in ("one-1-0", "one-2-0", "two-1-0"))
        users = [os.stat(f"/proc/{handle.pid}").st_uid for handle, _ in await asyncio.gather(*starts)]

        assert users[0] == users[1] != users[2]
        assert not {0, os.geteuid()} & set(users)
