"""Environments, with the real uv."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from prism_core.environments.uv import Uv, find_uv
from prism_core.errors import EnvironmentFailed, StorageFull

from .conftest import source


def says(environment, code):
    """Return what an environment's Python prints."""
    return subprocess.check_output([environment.python, "-c", code], text=True).strip()


async def test_a_model_gets_what_it_asks_for_and_what_that_needs(stage, asked):
    stage.wheel("alpha", "1", "beta<2")
    stage.wheel("alpha", "2", "beta")
    stage.wheel("beta", "1.5")
    stage.wheel("beta", "2")
    told = []

    made = await asked(stage.open(), "alpha==1", tell=told.append)

    assert {p.name: p.version for p in made.pins} == {"alpha": "1", "beta": "1.5", "tiny": "1", "uvloop": "1"}
    assert {p.name: p.reason for p in made.pins}["beta"] == "required by alpha"
    assert says(made, "import alpha, beta, tiny; print(alpha.VERSION, beta.VERSION, tiny.A)") == "1 1.5 1"
    assert [f["phase"] for f in told if f["phase"] in ("resolving", "compiling")] == [
        "resolving",
        "compiling",
    ]
    assert stage.left == [made.key, f"{made.key}.json"]
    assert list(Path(made.python).parents[1].rglob("alpha*.pyc"))


async def test_what_the_server_has_is_not_built(stage, asked):
    assert await asked(stage.open(), "numpy") is None
    assert not stage.log.exists()


async def test_the_owner_may_ask_for_the_servers_packages_in_any_case(stage):
    from prism_core.environments.needs import needed

    async with stage.open().chosen(needed((), ["numpy==0.1"]), ["tiny"], "server") as choice:
        assert choice.key == "server"
        assert "numpy==0.1 is wanted" in choice.notes[0]


async def test_equal_needs_are_resolved_once_and_share_an_environment(stage, asked):
    """A newer release is no reason for another one, and a server that starts again asks nobody."""
    stage.wheel("alpha", "1", "beta")
    stage.wheel("beta", "1")
    first = await asked(stage.open(), "alpha==1")
    stage.wheel("beta", "2")
    stage.watch("exit 1")

    assert await asked(stage.open(), "alpha==1") == first
    assert stage.runs.count("compile") == 1


async def test_other_needs_get_another_environment(stage, asked):
    stage.wheel("alpha", "1")
    stage.wheel("alpha", "2")
    environments = stage.open()

    one, two = await asyncio.gather(asked(environments, "alpha==1"), asked(environments, "alpha==2"))

    assert one.key != two.key
    assert [says(e, "import alpha; print(alpha.VERSION)") for e in (one, two)] == ["1", "2"]


async def test_many_who_wait_get_one_build(stage, asked):
    stage.wheel("alpha", "1")
    environments = stage.open()

    made = await asyncio.gather(*(asked(environments, "alpha==1") for _ in range(4)))

    assert len({environment.key for environment in made}) == 1
    assert stage.runs.count("venv") == 1


async def test_what_is_only_wished_for_gives_way(stage):
    from prism_core.environment import Requirement
    from prism_core.environments.needs import needed

    stage.wheel("alpha", "1", "beta<2")
    stage.wheel("beta", "1")
    needs = needed([Requirement("alpha", "==1"), Requirement("beta", "==2", strict=False)])

    async with stage.open().chosen(needs, ["tiny"]) as choice:
        assert choice.notes == ("In the model's environment, beta==2 is wanted; there it is 1.",)


# --- what goes wrong ------------------------------------------------------------------------


async def test_a_conflict_is_told_with_uvs_explanation(stage, asked):
    stage.wheel("alpha", "1", "beta<2")
    stage.wheel("beta", "2")

    with pytest.raises(
        EnvironmentFailed, match=r"you require alpha==1, we can conclude that you require beta<2"
    ) as failed:
        await asked(stage.open(), "alpha==1", "beta==2")

    assert failed.value.details["packages"] == ["alpha", "beta"]
    assert stage.left == []


async def test_nothing_of_a_package_runs_unless_that_is_allowed(stage, asked):
    ran = stage.path / "ran"
    source(stage.index, ran)

    with pytest.raises(EnvironmentFailed) as failed:
        await asked(stage.open(), "source==1")

    assert not ran.exists()
    assert "allow_builds" in failed.value.hint
    made = await asked(stage.open(allow_builds=True), "source==1")
    assert ran.exists()
    assert says(made, "import source") == ""


async def test_without_uv_it_is_told_how_to_get_it(stage, asked, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "uv", None)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.syspath_prepend(str(stage.site))

    with pytest.raises(EnvironmentFailed, match="uv, which would install them, is not here") as failed:
        await asked(stage.open(), "alpha==1")

    assert "pip install uv" in failed.value.hint


async def test_a_python_that_is_nowhere(stage, asked, monkeypatch):
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS", "never")

    with pytest.raises(EnvironmentFailed, match=r"Python 3\.30 is wanted") as failed:
        await asked(stage.open(), "alpha==1", python="3.30")

    assert "uv python install 3.30" in failed.value.hint
    assert stage.left == []


async def test_a_full_disk_leaves_nothing(stage, asked):
    stage.wheel("alpha", "1", files={"alpha.py": "x = 1\n" * 100_000})
    # The largest file that may be written, in the kernel's place of a disk without space.
    stage.watch('case "$2" in sync) trap "" XFSZ; ulimit -f 100;; esac')

    with pytest.raises(StorageFull):
        await asked(stage.open(), "alpha==1")

    assert stage.left == []


async def test_a_build_that_takes_too_long_is_ended(stage, asked):
    stage.wheel("alpha", "1")
    stage.watch('case "$2" in sync) sleep 1000;; esac')

    with pytest.raises(EnvironmentFailed, match=r"environments\.build_s"):
        await asked(stage.open(build_s=1.0), "alpha==1")

    assert stage.left == []


async def test_who_cancels_ends_uv_and_leaves_nothing(stage, asked):
    """Also what uv has started itself: the whole group is gone when the cancel is through."""
    stage.wheel("alpha", "1")
    pids = stage.path / "pids"
    stage.watch(f'case "$2" in sync) sleep 1000 & echo $$ $! > {pids}.new; mv {pids}.new {pids}; wait;; esac')
    environments = stage.open()
    task = asyncio.create_task(asked(environments, "alpha==1"))
    await until(pids.exists)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert not [pid for pid in pids.read_text().split() if is_running(int(pid))]
    assert stage.left == []


async def test_a_server_that_is_killed_takes_uv_with_it(stage):
    pids = stage.path / "pids"
    shell = "sleep 1000 & echo $$ $! >&2; wait"
    code = (  # told only when uv is heard: it is tied to the server then
        "import asyncio, pathlib; from prism_core.environments.uv import Uv\n"
        "uv = Uv('/bin/sh', 1000)\n"
        f"asyncio.run(uv.run('-c', {shell!r}, hear=pathlib.Path({str(pids)!r}).write_text))"
    )
    server = subprocess.Popen([sys.executable, "-c", code])  # noqa: ASYNC220 - it is back at once
    await until(lambda: pids.exists() and len(pids.read_text().split()) == 2)

    server.send_signal(signal.SIGKILL)
    server.wait()

    await until(lambda: not any(is_running(int(pid)) for pid in pids.read_text().split()))


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


async def until(holds):
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0.01)


# --- what lasts -----------------------------------------------------------------------------


async def test_what_is_damaged_is_built_again_as_it_was(stage, asked):
    stage.wheel("alpha", "1", "beta")
    stage.wheel("beta", "1")
    made = await asked(stage.open(), "alpha==1")
    next(Path(made.python).parents[1].rglob("beta.py")).unlink()
    stage.wheel("beta", "2")

    again = await stage.open().ready(made.key, ["tiny"])

    assert again == made
    assert says(again, "import beta; print(beta.VERSION)") == "1"


async def test_what_is_whole_is_not_built_again(stage, asked):
    stage.wheel("alpha", "1")
    made = await asked(stage.open(), "alpha==1")
    stage.watch("exit 1")

    assert await stage.open().ready(made.key, ["tiny"]) == made


async def test_an_updated_server_puts_itself_into_what_was_there(stage, asked):
    """The packages stay, and so does the key; what a newer PRISM needs comes to them."""
    stage.wheel("alpha", "1")
    stage.wheel("gamma", "1")
    made = await asked(stage.open(), "alpha==1")
    stage.wheel("alpha", "1.1")
    stage.plugin("A = 2\n", requires="gamma")

    again = await stage.open().ready(made.key, ["tiny"])

    assert again.key == made.key
    assert says(again, "import alpha, gamma, tiny; print(alpha.VERSION, tiny.A)") == "1 2"
    assert stage.open().recipe(made.key) == again


async def test_a_recipe_that_is_lost_asks_for_another_upload(stage):
    with pytest.raises(EnvironmentFailed, match="recipe") as failed:
        await stage.open().ready("0123456789abcdef", ["tiny"])

    assert "Upload the model again" in failed.value.hint


async def test_only_what_a_version_has_is_kept(stage, asked):
    stage.wheel("alpha", "1")
    stage.wheel("alpha", "2")
    environments = stage.open()
    one, two = await asyncio.gather(asked(environments, "alpha==1"), asked(environments, "alpha==2"))

    removed = await environments.collect(lambda: [one.key])

    assert sorted(removed) == sorted([two.key, f"{two.key}.json"])
    assert stage.left == [one.key, f"{one.key}.json"]
    assert await environments.ready(one.key, ["tiny"]) == one


async def test_what_is_chosen_is_not_collected_before_it_is_built(stage):
    from prism_core.environments.needs import needed

    stage.wheel("alpha", "1")
    environments = stage.open()
    async with environments.chosen(needed((), ["alpha==1"]), ["tiny"]) as choice:
        await environments.ready(choice.key, ["tiny"])

        assert await environments.collect(list) == []

    assert sorted(await environments.collect(list)) == sorted([choice.key, f"{choice.key}.json"])


async def test_uv_gets_none_of_the_servers_secrets(stage, monkeypatch):
    monkeypatch.setenv("PRISM_TOKEN", "hunter2")
    monkeypatch.setenv("VIRTUAL_ENV", "/somewhere")

    outcome = await Uv("/bin/sh", 10).run("-c", "env >&2")

    assert "hunter2" not in outcome.said
    assert "VIRTUAL_ENV" not in outcome.said
    assert "UV_CACHE_DIR" in outcome.said
    assert os.path.isabs(find_uv())


async def test_a_lock_decides_what_nobody_asked_for(stage):
    from prism_core.environments.locks import Lock
    from prism_core.environments.needs import needed

    for version in ("1", "2"):
        stage.wheel("beta", version)
    stage.wheel("alpha", "1", "beta")
    environments, needs = stage.open(), needed((), ["alpha==1"])

    async with environments.chosen(needs, ["tiny"], lock=Lock({"beta": "1", "gamma": "3"})) as choice:
        locked = await environments.ready(choice.key, ["tiny"])
    async with environments.chosen(needs, ["tiny"], lock=Lock({"beta": "2"})) as other:
        free = await environments.ready(other.key, ["tiny"])

    assert {p.name: p.version for p in locked.pins} == {"alpha": "1", "beta": "1", "tiny": "1", "uvloop": "1"}
    assert {p.name: p.version for p in free.pins}["beta"] == "2"
    assert {p.name: p.reason for p in locked.pins}["beta"] == "required by alpha"


async def test_a_server_that_has_another_version_than_is_locked_is_not_enough(stage):
    from prism_core.environments.locks import Lock
    from prism_core.environments.needs import needed

    stage.wheel("numpy", "0.1")
    lock = Lock({"numpy": "0.1"})

    async with stage.open().chosen(needed(()), ["tiny"], lock=lock) as choice:
        assert choice.key == "server"  # nothing of this model is numpy
    stage.plugin(requires="numpy")
    async with stage.open().chosen(needed(()), ["tiny"], lock=lock) as choice:
        assert choice.key != "server"


async def test_what_two_environments_have_in_common_is_on_disk_once(stage, asked):
    stage.wheel("common", "1")
    stage.wheel("alpha", "1", "common")
    stage.wheel("alpha", "2", "common")
    environments = stage.open()

    first = await asked(environments, "alpha==1")
    second = await asked(environments, "alpha==2")

    of_both = [Path(one.python).parents[1] for one in (first, second)]
    for pattern in ("common.py", "common.*.pyc"):
        files = [next(root.rglob(pattern)) for root in of_both]
        assert os.path.samefile(*files)
    assert says(second, "import common, traceback; print(common.__file__)") == str(
        next(of_both[1].rglob("common.py"))
    )


async def test_no_file_of_a_package_runs_while_it_is_built(stage, asked):
    """An interpreter runs the lines of .pth files as it begins, also one that is there to compile."""
    ran = stage.path / "ran"
    stage.wheel(
        "alpha", "1", files={"alpha.py": "", "alpha.pth": f"import os; open({str(ran)!r}, 'w').close()\n"}
    )

    made = await asked(stage.open(), "alpha==1")

    assert not ran.exists()
    assert list(Path(made.python).parents[1].rglob("alpha.*.pyc"))
    says(made, "")
    assert ran.exists()


async def test_uv_takes_no_settings_that_lie_about(stage, monkeypatch):
    (stage.path / "uv.toml").write_text("this = is [ no toml")
    monkeypatch.chdir(stage.path)

    outcome = await Uv(find_uv(), 60).run("venv", "--python", sys.executable, str(stage.path / "made"))

    assert outcome.code == 0, outcome.said
