"""Environments beside the server's own: one warm process each, until it is idle, and walls between them."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
from contextlib import ExitStack
from pathlib import Path

import attrs
import psutil
import pytest
import pytest_asyncio

import prism_core
from prism_core.isolation import process
from prism_core.isolation.process import start_method
from prism_core.isolation.sandbox import Abilities

from ..sandbox.conftest import NOBODY, as_nobody

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(start_method()[0] != "zygote", reason=start_method()[1] or "-"),
]

SOURCES = (Path(prism_core.__file__).parents[1], Path(sysconfig.get_path("purelib")))


@attrs.frozen
class Data:
    """A data directory with two environments, whose packages are those of this one and the toys."""

    root: Path
    toys: Path

    def make(self, name: str, *lines: str) -> str:
        """Make an environment; return its interpreter."""
        root = self.root / "environments" / name
        python = root / "bin" / "python"
        site = root / Path(sysconfig.get_path("purelib")).relative_to(sys.prefix)
        python.parent.mkdir(parents=True)
        site.mkdir(parents=True)
        base = Path(sys.executable).resolve()
        python.symlink_to(base)
        (root / "pyvenv.cfg").write_text(f"home = {base.parent}\n")
        (site / "toys.pth").write_text("".join(f"{line}\n" for line in (*SOURCES, self.toys, *lines)))
        return str(python)

    def of(self, replica: str, python: str, **changes):
        """Return the changes of a spec, for a replica of the environment of ``python``."""
        directory = self.root / "replicas" / replica
        directory.mkdir(parents=True, exist_ok=True)
        places = {"artifact": self.root / "artifacts" / "port", "manifest": directory, "directory": directory}
        return places | {"environment": "other", "python": python, "private": (self.root,)} | changes


@pytest.fixture
def data(tmp_path, toys, monkeypatch):
    home = tmp_path / "home"
    root = tmp_path / "data"
    for path in (home, root / "artifacts"):
        path.mkdir(parents=True)
    (home / "secret").touch()
    (root / "admin-token").write_text("hush")
    monkeypatch.setenv("HOME", str(home))
    with socket.create_server(("127.0.0.1", 0)) as server:
        (root / "artifacts" / "port").write_text(str(server.getsockname()[1]))
        yield Data(root, toys)


@pytest_asyncio.fixture(loop_scope="module")
async def scene(make_scene, toys):
    return await make_scene(readable=(*SOURCES, toys))


async def start(scene, replica, **changes):
    """Start a replica of another place than the scene's."""
    spec = attrs.evolve(scene.spec(replica), **changes)
    handle = await scene.launcher.start(spec, scene.listen())
    scene.handles.append(handle)
    return handle


async def test_an_environment_runs_on_its_own_interpreter_and_is_told_of_no_other(scene, data, monkeypatch):
    python = data.make("one")
    monkeypatch.setenv("VIRTUAL_ENV", "/server")
    monkeypatch.setenv("PYTHONHASHSEED", "7")

    facts = await scene.ask(await start(scene, "toy-1-0", **data.of("toy-1-0", python, sandbox="off")))

    assert facts["prefix"] == str(data.root / "environments" / "one")
    assert "PYTHONPATH" in os.environ
    assert {"PYTHONPATH", "VIRTUAL_ENV"}.isdisjoint(facts["variables"])
    assert facts["variables"]["PYTHONHASHSEED"] == "7"


# --- one warm process each -----------------------------------------------------------------


async def test_a_warm_process_without_replicas_ends_and_another_one_follows(make_scene, data, gone):
    """Also one whose replica is still there while others come and go."""
    scene = await make_scene(readable=(*SOURCES, data.toys), zygote_idle_s=0.05)
    python = data.make("one")
    first = await start(scene, "toy-1-0", **data.of("toy-1-0", python))
    second = await start(scene, "toy-1-1", **data.of("toy-1-1", python))
    parent = (await scene.ask(first))["parent"]

    await scene.launcher.stop(first, 5)
    assert not await asyncio.to_thread(gone, parent, 0.3)
    assert (await scene.ask(second))["parent"] == parent
    await scene.launcher.stop(second, 5)
    assert await asyncio.to_thread(gone, parent, 5)

    again = await scene.ask(await start(scene, "toy-1-2", **data.of("toy-1-2", python)))
    assert again["parent"] != parent


async def test_the_servers_own_warm_process_stays(make_scene, gone):
    scene = await make_scene(zygote_idle_s=0.05)
    handle = await scene.start()
    parent = (await scene.ask(handle))["parent"]

    await scene.launcher.stop(handle, 5)

    assert not await asyncio.to_thread(gone, parent, 0.3)
    assert (await scene.ask(await scene.start("toy-1-1")))["parent"] == parent


async def test_idle_warm_processes_are_asked_while_they_end(make_scene, data):
    """Whoever comes at the moment at which one gives up gets the next."""
    scene = await make_scene(readable=(*SOURCES, data.toys), zygote_idle_s=0.001)
    python = data.make("one")
    for number in range(3):
        handle = await start(scene, f"toy-1-{number}", **data.of(f"toy-1-{number}", python))
        assert (await scene.ask(handle))["prefix"]
        await scene.launcher.stop(handle, 5)
        await asyncio.sleep(0.001 * number)


async def test_all_warm_processes_end_with_the_backend(data, toys):
    from .conftest import Scene, open_toys

    before = {child.pid for child in psutil.Process().children(recursive=True)}
    async with open_toys(readable=(*SOURCES, toys)) as launcher:
        with ExitStack() as sockets:
            scene = Scene(launcher, data.root, sockets)
            await start(scene, "toy-1-0", **data.of("toy-1-0", data.make("one")))
            await start(scene, "toy-2-0", **data.of("toy-2-0", data.make("two")))

    assert {child.pid for child in psutil.Process().children(recursive=True)} <= before


# --- walls ---------------------------------------------------------------------------------


@pytest.fixture(params=["namespaces", "landlock"])
def level(request, monkeypatch):
    found = process.abilities()
    if reason := getattr(found, request.param):
        pytest.skip(reason)
    if request.param == "landlock":
        monkeypatch.setattr(process, "abilities", lambda: Abilities("not in this test", ""))
    return request.param


@pytest.mark.parametrize("threads", [1, 2], ids=["forked", "spawned"])
async def test_a_replica_sees_its_own_environment_alone_and_may_not_change_it(scene, data, level, threads):
    python = data.make("one", "import toy_spy")
    data.make("two")

    facts = await scene.ask(await start(scene, "toy-1-0", **data.of("toy-1-0", python, threads=threads)))

    _, now = facts["spied"]
    assert facts["sandbox"] == level
    assert [one for one in now if one != "read one"] == ["open one"]


@pytest.mark.parametrize("threads", [1, 2], ids=["forked", "spawned"])
async def test_what_a_package_does_as_it_is_imported_reaches_nothing_of_the_server(scene, data, threads):
    """Under namespaces alone; the sandbox's page tells what holds without."""
    if reason := process.abilities().namespaces:
        pytest.skip(reason)
    python = data.make("one", "import toy_spy")
    data.make("two")

    facts = await scene.ask(await start(scene, "toy-1-0", **data.of("toy-1-0", python, threads=threads)))

    assert facts["spied"][0] == ["open one", "read one"]


async def test_where_nothing_shuts_it_in_all_of_it_is_reached(scene, data):
    """Else the tests above would prove nothing."""
    python = data.make("one", "import toy_spy")
    data.make("two")

    facts = await scene.ask(await start(scene, "toy-1-0", **data.of("toy-1-0", python, sandbox="off")))

    everything = {"admin token", "home", "network", "open one", "open two", "change one", "change two"}
    assert set(facts["spied"][0]) >= everything
    assert set(facts["spied"][1]) >= everything


@pytest.mark.sweep
async def test_the_walls_hold_for_a_plain_user_too():
    """Bubblewrap makes namespaces in another way where it is not root."""
    if os.getuid() != 0 or not shutil.which("setpriv"):
        pytest.skip("only root can become somebody else; this very account was tested above")
    with tempfile.TemporaryDirectory(prefix="prism-test-") as home:
        os.chown(home, NOBODY, NOBODY)
        command = [*as_nobody(), "env", f"HOME={home}", sys.executable, "-m", "pytest", __file__]
        options = ["-q", "-n", "0", "-p", "no:cacheprovider", "--basetemp", f"{home}/t"]
        done = await asyncio.to_thread(
            subprocess.run, [*command, *options], capture_output=True, text=True, check=False
        )

    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout
