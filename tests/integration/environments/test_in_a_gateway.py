"""Environments of a whole gateway, from uploads to restarts. uv is real, replicas are toys."""

import asyncio
import os
import subprocess
from pathlib import Path

import pytest

from prism_core import tars
from prism_core.bundle import entries
from prism_core.environments.beside import packed_by_trust
from prism_core.errors import EnvironmentFailed, IllegalTransition
from prism_core.gateway.installed import environment_of, environments
from prism_core.gateway.packages import Packages
from prism_core.gateway.views import UploadRequest
from prism_core.settings import ModelSettings
from tests.integration.gateway_toys import ToyLauncher, predict, toy_gateway, until, upload

HANGS = 'case "$2" in sync) sleep 1000;; esac'


class Launcher(ToyLauncher):
    """Remembers what replicas are started with."""

    def __init__(self):
        super().__init__()
        self.specs = []

    async def start(self, spec, listener):
        self.specs.append(spec)
        return await super().start(spec, listener)


@pytest.fixture
def place(stage, monkeypatch):
    """The data directory; models need nothing of PRISM but the plugin ``tiny``."""
    monkeypatch.setattr(
        Packages, "distributions", lambda self, loader, trust=(): ["tiny", *packed_by_trust(trust)]
    )
    for version in ("1", "2"):
        stage.wheel("alpha", version)
    return stage.path


def at(gateway, version=None):
    return gateway.version("m", version)


def printed(python, code):
    return subprocess.check_output([python, "-c", code], text=True).strip()


async def asked(gateway, text="2", alpha="1", **request):
    return await upload(gateway, text, requirements=(f"alpha=={alpha}",), **request)


async def test_an_upload_starts_in_its_own_environment(place):
    launcher, told = Launcher(), []
    async with toy_gateway(place, launcher) as gateway:
        version = await asked(gateway, progress=lambda step, facts: told.append((step, facts.get("phase"))))

        spec = launcher.specs[-1]
        assert version.environment == spec.environment
        assert Path(spec.python) == place / "environments" / version.environment / "bin" / "python"
        assert spec.recipe == place / "environments" / f"{version.environment}.json"
        phases = [phase for step, phase in told if step == "environment" and phase]
        assert phases == ["resolving", "installing", "resolved", "installing", "compiling"]
        assert await predict(gateway, "m", 1) == [2]


async def test_what_the_server_has_starts_where_it_always_did(place):
    launcher = Launcher()
    async with toy_gateway(place, launcher) as gateway:
        version = await upload(gateway, "2", requirements=("numpy",))

    assert version.environment == "server"
    assert launcher.specs[-1].recipe is None


async def test_the_environment_is_part_of_what_makes_two_uploads_equal(place):
    async with toy_gateway(place) as gateway:
        first = await asked(gateway)
        again = await asked(gateway)
        other = await asked(gateway, alpha="2")
        servers = await asked(gateway, environment="server")

    assert (again.version, again.duplicate) == (first.version, True)
    assert (other.version, servers.version) == (2, 3)
    assert "alpha==1 is wanted" in servers.warnings[0]


async def test_a_package_of_the_owner_goes_along(place, stage):
    """It was installed from no index: beside the server from a wheel that somebody sent."""
    info = stage.site / "mine-3.dist-info"
    info.mkdir()
    (stage.site / "mine.py").write_text("class Thing: pass\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 3\nRequires-Dist: alpha\n")
    (info / "RECORD").write_text("mine.py,,\nmine-3.dist-info/METADATA,,\n")
    (info / "direct_url.json").write_text('{"url": "file:///sent/mine-3.whl", "archive_info": {}}')
    launcher = Launcher()
    async with toy_gateway(place, launcher) as gateway:
        await asked(gateway, trust=("mine:Thing",))
        one = await environment_of(gateway.operator, gateway.registry.version("m", 1))

    assert [(p.name, p.version, p.source) for p in one.pins if p.name in ("alpha", "mine")] == [
        *(("alpha", "1", "index"), ("mine", "3", "server"))
    ]
    assert printed(launcher.specs[-1].python, "import mine; print(mine.Thing.__name__)") == "Thing"


async def test_environments_are_listed_and_explained(place):
    async with toy_gateway(place) as gateway:
        first = await asked(gateway)
        await upload(gateway, "5", name="other")
        listed = {one.key: one for one in await environments(gateway.operator)}
        one = await environment_of(gateway.operator, gateway.registry.version("m", 1))

    assert listed["server"].versions == ["other/1"]
    assert listed[first.environment].versions == ["m/1"]
    assert listed[first.environment].shared_bytes > 0
    assert [(r.requirement, r.reason) for r in one.requirements] == [("alpha==1", "named by its owner")]
    assert [(p.name, p.version, p.source) for p in one.pins] == [
        *(("alpha", "1", "index"), ("tiny", "1", "server"), ("uvloop", "1", "index"))
    ]


async def test_a_build_that_fails_leaves_the_previous_version_serving(place):
    async with toy_gateway(place) as gateway:
        await asked(gateway)
        with pytest.raises(EnvironmentFailed) as failed:
            await asked(gateway, "3", alpha="9")

        assert failed.value.details["step"] == "environment"
        assert await predict(gateway, "m", 1) == [2]
        assert [v.version for v in gateway.model("m").versions] == [1]


async def test_a_client_that_leaves_ends_the_build(place, stage):
    stage.watch(HANGS)
    async with toy_gateway(place) as gateway:
        task = asyncio.create_task(asked(gateway))
        await until(lambda: "sync" in stage.runs if stage.log.exists() else False)

        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        assert gateway.models() == []
        assert stage.left == []
        stage.watch()
        assert (await asked(gateway)).version == 1


async def test_a_model_that_is_removed_meanwhile_is_not_built(place, stage):
    stage.watch(HANGS)
    async with toy_gateway(place) as gateway:
        task = asyncio.create_task(asked(gateway))
        await until(lambda: "sync" in stage.runs if stage.log.exists() else False)

        with pytest.raises(IllegalTransition, match="while its environment was built"):
            await asyncio.gather(task, gateway.remove("m"))

        assert stage.left == []


async def test_an_environment_goes_with_its_last_version(place, stage):
    async with toy_gateway(place) as gateway:
        first = await asked(gateway)
        await asked(gateway, "3", name="other")
        await gateway.remove("m")
        assert stage.left == [first.environment, f"{first.environment}.json"]

        await gateway.remove("other")
        assert stage.left == []


async def test_what_a_version_has_is_there_after_a_restart_and_asks_nobody(place, stage):
    async with toy_gateway(place) as gateway:
        version = await asked(gateway)
        await asked(gateway, "3", alpha="2", name="gone")
    left = place / "environments" / ".new-left-by-a-crash"
    left.mkdir()
    os.utime(left, (1, 1))
    stage.watch("exit 1")

    launcher = Launcher()
    async with toy_gateway(place, launcher) as gateway:
        await gateway.settled.wait()
        assert await predict(gateway, "m", 1) == [2]
        assert launcher.specs[-1].environment in (version.environment, gateway.version("gone").environment)
        assert ".new-left-by-a-crash" not in stage.left


async def test_a_damaged_environment_is_built_again_while_others_are_served(place, stage):
    async with toy_gateway(place) as gateway:
        version = await asked(gateway)
        await upload(gateway, "5", name="other")
    next((place / "environments" / version.environment).rglob("alpha.py")).unlink()
    begin = stage.path / "begin"
    stage.watch(f'case "$2" in sync) while ! test -e {begin}; do sleep 0.05; done;; esac')

    async with toy_gateway(place) as gateway:
        assert await predict(gateway, "other", 1) == [5]
        waiting = asyncio.create_task(predict(gateway, "m", 1))
        await until(lambda: stage.runs.count("venv") == 2)
        begin.touch()

        assert await waiting == [2]
        assert at(gateway).state == "READY"


async def test_an_environment_that_cannot_be_built_again_fails_its_version_alone(place, stage):
    async with toy_gateway(place) as gateway:
        version = await asked(gateway)
        await upload(gateway, "5", name="other")
    stage.open().disk.recipe(version.environment).unlink()

    async with toy_gateway(place) as gateway:
        await gateway.settled.wait()

        assert at(gateway).state == "FAILED"
        assert "recipe" in at(gateway).error
        assert await predict(gateway, "other", 1) == [5]


async def test_a_version_whose_environment_comes_back_is_started(place, stage):
    async with toy_gateway(place) as gateway:
        version = await asked(gateway)
    next((place / "environments" / version.environment).rglob("alpha.py")).unlink()
    stage.watch("exit 1")

    async with toy_gateway(place) as gateway:
        await gateway.settled.wait()
        assert at(gateway).state == "FAILED"
        stage.watch()
        await gateway.start("m")

        assert await predict(gateway, "m", 1) == [2]


async def test_pruning_is_written_down(place, stage):
    async with toy_gateway(place) as gateway:
        (place / "environments" / "ffffffffffffffff").mkdir(parents=True)
        assert await gateway.prune_environments() == ["ffffffffffffffff"]

    assert '"environments.prune"' in (place / "audit.jsonl").read_text()


async def test_a_bundle_brings_the_versions_that_it_ran_with(place, stage, tmp_path):
    """On another server, whose index has gone on; what a bundle names is not installed for that."""
    stage.wheel("gamma", "1")
    stage.wheel("beta", "1", "gamma")
    async with toy_gateway(place) as gateway:
        before = await upload(gateway, "2", requirements=("beta",))
        bundle = await frozen(gateway, before)
    stage.wheel("gamma", "2")
    stage.wheel("beta", "2", "gamma")
    async with toy_gateway(tmp_path / "other") as gateway:
        unnamed = await brought(gateway, bundle)
        named = await brought(gateway, bundle, requirements=("beta==1",))
        newest = await brought(gateway, bundle, requirements=("beta==2",), environment="auto")
        pins = {v.version: await pins_of(gateway, v.version) for v in (unnamed, named, newest)}

    assert unnamed.environment == "server"
    assert "its owner asked for beta" in unnamed.warnings[0]
    assert {"beta": "1", "gamma": "1"}.items() <= pins[named.version].items()
    assert {"beta": "2", "gamma": "2"}.items() <= pins[newest.version].items()


async def frozen(gateway, version):
    async with gateway.frozen(version.model, version.version) as (said, artifact):
        return b"".join(tars.stream(entries(said, artifact)))


async def brought(gateway, bundle, **request):
    asked = UploadRequest(filename="m.prism", **request)
    async with gateway.stage("m") as staged:
        await staged.write(bundle)
        return await gateway.upload(asked, staged, lambda *_: None, {"filename", *request})


async def pins_of(gateway, number):
    shown = await environment_of(gateway.operator, gateway.registry.version("m", number))
    return {pin.name: pin.version for pin in shown.pins}


@pytest.mark.parametrize("updated", [False, True], ids=["the same server", "an updated one"])
async def test_a_model_of_the_settings_is_the_same_version_at_every_start(place, stage, updated):
    """Neither a newer release in the index nor an update of PRISM makes another version of it."""
    (place / "m.toy").write_text("2")
    (place / "requirements.txt").write_text("alpha<3\n")
    models = {
        "m": ModelSettings(path=str(place / "m.toy"), requirements=str(place / "requirements.txt")),
    }
    async with toy_gateway(place, models=models) as gateway:
        await gateway.settled.wait()
        before = at(gateway)
    stage.wheel("alpha", "2.1")
    if updated:
        stage.plugin("A = 2\n")
    else:
        stage.watch("exit 1")

    async with toy_gateway(place, models=models) as gateway:
        await gateway.settled.wait()

        assert [v.version for v in gateway.model("m").versions] == [1]
        assert (at(gateway).state, at(gateway).environment) == ("READY", before.environment)
        root = place / "environments" / before.environment
        assert next(root.rglob("tiny.py")).read_text() == ("A = 2\n" if updated else "A = 1\n")
        assert await predict(gateway, "m", 1) == [2]
