"""How a replica is shut in is decided before it starts, told by itself, and never pretended."""

from __future__ import annotations

import pytest

from prism_core.errors import LaunchFailed
from prism_core.isolation import process
from prism_core.isolation.process import start_method
from prism_core.isolation.sandbox import Abilities, Level

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(start_method()[0] != "zygote", reason="the sandbox is Linux's"),
]


@pytest.fixture
def nothing_works(monkeypatch):
    monkeypatch.setattr(process, "abilities", lambda: Abilities("no bubblewrap", "no Landlock"))


async def test_where_nothing_works_and_a_sandbox_is_required_no_replica_is_started(scene, nothing_works):
    with pytest.raises(LaunchFailed, match="no bubblewrap; no Landlock"):
        await scene.start(sandbox="required")

    assert not (scene.directory / "toy-1-0").exists()


async def test_where_nothing_works_the_log_says_so_at_every_start(scene, nothing_works, caplog):
    facts = await scene.ask(await scene.start(sandbox="best"))

    assert facts["sandbox"] == Level.LIMITS
    assert "toy-1-0: no sandbox works here" in caplog.text


async def test_a_replica_tells_the_level_that_it_was_brought_to(scene):
    facts = await scene.ask(await scene.start(sandbox="required"))

    assert facts["sandbox"] in (Level.NAMESPACES, Level.LANDLOCK)
    assert facts["sandbox"] == process.abilities().strongest


async def test_levels_have_warm_processes_of_their_own(scene):
    """A model that is not shut in must not be forked beside those that are."""
    free = (await scene.ask(await scene.start("toy-1-0", sandbox="off")))["parent"]

    assert (await scene.ask(await scene.start("toy-2-0", sandbox="best")))["parent"] != free


@pytest.mark.parametrize("threads", [1, 2], ids=["forked", "spawned"])
async def test_a_replica_has_no_capabilities_and_gets_no_privileges(scene, threads):
    facts = await scene.ask(await scene.start(sandbox="required", threads=threads))

    status = facts["status"]
    assert facts["sandbox"] == process.abilities().strongest
    assert status["CapEff"] == status["CapPrm"] == "0000000000000000"
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"


async def test_an_interpreter_with_threads_is_not_said_to_be_shut_in(scene, monkeypatch, tmp_path, toys):
    """The kernel shuts in one thread; the others would be free."""
    (tmp_path / "sitecustomize.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{toys}")

    facts = await scene.ask(await scene.start(sandbox="best"))
    assert (facts["sandbox"], facts["threads"]) == (Level.LIMITS, 2)
    with pytest.raises(LaunchFailed, match="starts threads"):
        await scene.start("toy-1-1", sandbox="required")
