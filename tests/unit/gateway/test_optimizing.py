"""What a conversion leaves: an outcome that is believed as far as it can be, and nothing else."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import attrs
import msgspec
import pytest

from prism_core.errors import IllegalTransition, LaunchFailed
from prism_core.gateway.lifecycle import State
from prism_core.gateway.shown import shown_optimization
from prism_core.manifest import Manifest
from prism_core.optimization import (
    FORMS_DIRECTORY,
    OUTCOME_FILE,
    TASK_FILE,
    Optimization,
    Outcome,
    Pace,
    Task,
)
from prism_core.plugins import LoadedPlugin, PluginSet
from prism_core.protocols import OPTIMIZE, ReplicaHandle, Usage
from prism_core.settings import LimitSettings, Settings
from prism_core.specs import Loader, Optimizer
from tests.unit.gateway.conftest import TOY, ignore, open_desk, plugin_set

FAST = Loader("fast", (), recognises=lambda artifact: 0.0, load=ignore)
OPTIMIZER = Optimizer("faster", loader="toy", into="fast", convert=ignore)
SERVED = Optimization(
    "served", optimizer="faster", loader="fast", rows=9, tolerance=1e-6, paces={"1": Pace(30.0, 10.0)}
)


class Converting:
    """A launcher whose processes do what ``act`` does with their directory, then end with ``code``.

    ``act`` None: they never end.
    """

    def __init__(self, act=ignore, code=0, memory=1000):
        self.act, self.code, self.memory = act, code, memory
        self.specs, self.stopped = [], []
        self.ended: asyncio.Event = asyncio.Event()
        self.started = asyncio.Event()

    async def start(self, spec, listener):
        self.specs.append(spec)
        self.started.set()
        if isinstance(self.act, Exception):
            raise self.act
        if self.act:
            self.act(spec.directory)
            self.ended.set()
        return ReplicaHandle(spec.replica, "process", 0, 0.0, "")

    async def wait(self, handle):
        await self.ended.wait()
        return self.code

    async def stop(self, handle, grace_s):
        self.stopped.append(handle.replica)

    async def usage(self, handle):
        return Usage(self.memory, 0.0)


def leaving(optimization=SERVED, form="double", content=b"form"):
    """Return what a good process does."""

    def act(directory: Path) -> None:
        (directory / FORMS_DIRECTORY).mkdir()
        if form:
            (directory / FORMS_DIRECTORY / form).write_bytes(content)
        (directory / OUTCOME_FILE).write_bytes(msgspec.json.encode(Outcome(optimization, form)))

    return act


def plugins() -> PluginSet:
    made = plugin_set(prism_loaders={"toy": TOY, "fast": FAST}, prism_optimizers={"faster": OPTIMIZER})
    owners = {("prism_loaders", "toy"): "toy", ("prism_loaders", "fast"): "toy"}
    plugin = LoadedPlugin("toy", "toy=toy", "0", "toy", None)
    return attrs.evolve(
        made, owners=owners | {("prism_optimizers", "faster"): "toy"}, plugins={"toy": plugin}
    )


@pytest.fixture
async def shop(tmp_path):
    """Return a desk with an optimizer; set ``shop.operator.launchers`` to a `Converting` by `use`."""
    async with open_desk(tmp_path, plugins()) as desk:
        yield desk


async def upload(desk, launcher, limits=None, data=b"one", **request):
    settings = Settings(limits=limits or LimitSettings())
    operator = attrs.evolve(desk.operator, settings=settings)
    await operator.launchers.get("process")
    operator.launchers._opened["process"] = launcher
    desk.uploads = attrs.evolve(desk.uploads, operator=operator)
    version, duplicate = await desk.upload(data, **({"optimize": "auto"} | request))
    return version, duplicate


def rest(desk) -> list[str]:
    """Return what is left beside the replicas' own."""
    return [p.name for p in (desk.operator.data / "replicas").iterdir()]


async def test_a_form_that_passed_is_what_replicas_load(shop):
    launcher = Converting(leaving())
    version, _ = await upload(shop, launcher)
    served = version.manifest.served

    assert (served.loader, version.manifest.loader) == ("fast", "toy")
    assert shop.operator.store.path(served.digest).read_bytes() == b"form"
    assert len(shop.files) == 2
    assert (rest(shop), launcher.stopped) == ([], ["churn-1-optimize"])


async def test_the_process_is_told_its_task(shop):
    tasks = []

    def act(directory):
        tasks.append(msgspec.json.decode((directory / TASK_FILE).read_bytes(), type=Task))
        leaving()(directory)

    launcher = Converting(act)
    await upload(shop, launcher, LimitSettings(optimize_memory=4096))
    (spec,) = launcher.specs

    assert tasks == [Task("faster")]
    assert (spec.task, spec.memory_limit_bytes) == (OPTIMIZE, 4096)
    assert spec.plugins == ("toy=toy",)


async def test_nobody_is_converted_who_does_not_ask(shop):
    launcher = Converting()
    version, _ = await upload(shop, launcher, optimize="off")

    assert (launcher.specs, version.manifest.optimization) == ([], None)


async def test_a_loader_without_an_optimizer_keeps_its_form(desk):
    version, _ = await upload(desk, Converting())

    assert version.manifest.optimization.state == "kept"
    assert "no plugin offers" in version.manifest.optimization.reason


def linking(directory):
    leaving(form="")(directory)
    os.symlink("/etc/passwd", directory / FORMS_DIRECTORY / "double")
    (directory / OUTCOME_FILE).write_bytes(msgspec.json.encode(Outcome(SERVED, "double")))


def linking_below(directory):
    leaving(form="")(directory)
    (directory / FORMS_DIRECTORY / "double").mkdir()
    os.symlink("/etc/passwd", directory / FORMS_DIRECTORY / "double" / "inside")
    (directory / OUTCOME_FILE).write_bytes(msgspec.json.encode(Outcome(SERVED, "double")))


def naming(form):
    """Return what a process does that names a form outside of its forms, or none."""

    def act(directory: Path) -> None:
        leaving(form="")(directory)
        (directory / OUTCOME_FILE).write_bytes(msgspec.json.encode(Outcome(SERVED, form)))

    return act


def writing(content):
    return lambda directory: (directory / OUTCOME_FILE).write_bytes(content)


FAULTS = {
    "nothing": (lambda: Converting(), "left no outcome"),
    "signal": (lambda: Converting(leaving(), code=-11), "signal 11"),
    "exit": (lambda: Converting(leaving(), code=1), "exit code 1"),
    "endless": (lambda: Converting(None), "longer than limits.optimize_s, 0.05 s"),
    "greedy": (lambda: Converting(None, memory=10**12), "more memory than limits.optimize_memory"),
    "refused": (lambda: Converting(LaunchFailed("There is no more room.")), "no more room"),
    "no-memory": (lambda: Converting(OSError(12, "Cannot allocate memory")), "Cannot allocate memory"),
    "cut": (lambda: Converting(writing(b"{")), "left no outcome"),
    "no-text": (lambda: Converting(writing(b'{"form": "\xff"}')), "left no outcome"),
    "deep": (lambda: Converting(writing(b'{"optimization": {"paces": %b' % (b"[" * 9000))), "no outcome"),
    "huge": (lambda: Converting(writing(b"x" * 2_000_000)), "left no outcome"),
    "link": (lambda: Converting(linking), "no plain file"),
    "link-below": (lambda: Converting(linking_below), "no plain file"),
    "above": (lambda: Converting(naming("../manifest.json")), "no plain file"),
    "dots": (lambda: Converting(naming("..")), "no plain file"),
    "absent": (lambda: Converting(naming("gone")), "no plain file"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_whatever_goes_wrong_the_original_is_served(shop, fault):
    launcher, reason = FAULTS[fault]
    limits = LimitSettings(optimize_s=0.05 if fault == "endless" else 60.0)
    version, _ = await upload(shop, launcher(), limits)

    assert version.state is State.READY
    assert version.manifest.optimization.state == "failed"
    assert reason in version.manifest.optimization.reason
    assert version.manifest.served is version.manifest
    assert (len(shop.files), rest(shop)) == (1, [])


async def test_a_form_that_did_not_pass_is_told_and_not_kept(shop):
    kept = attrs.evolve(SERVED, state="kept", reason="it is no faster")
    version, _ = await upload(shop, Converting(leaving(kept)))

    assert version.manifest.optimization == kept
    assert len(shop.files) == 1


async def test_the_same_upload_again_is_the_same_version(shop):
    kept = attrs.evolve(SERVED, state="kept", reason="it is no faster")
    for act in (leaving(kept), leaving()):
        version, duplicate = await upload(shop, Converting(act))

    assert (version.manifest.version, duplicate) == (1, True)


async def test_what_could_not_be_tried_is_tried_again_by_who_asks(shop):
    await upload(shop, Converting(code=1))
    at_start, duplicate = await upload(shop, Converting(leaving()), anew=False)
    again, fresh = await upload(shop, Converting(leaving()))

    assert (at_start.manifest.version, duplicate) == (1, True)
    assert (again.manifest.version, fresh, again.manifest.served.loader) == (2, False, "fast")


async def test_removing_a_version_removes_its_form(shop):
    version, _ = await upload(shop, Converting(leaving()))
    await shop.operator.remove(shop.registry.model("churn"), [version])

    assert shop.files == []


async def test_two_versions_may_share_a_form(shop):
    first, _ = await upload(shop, Converting(leaving()))
    second, _ = await upload(shop, Converting(leaving()), data=b"two")
    await shop.operator.remove(shop.registry.model("churn"), [first])

    assert shop.operator.store.path(second.manifest.served.digest).exists()
    assert len(shop.files) == 2


async def test_a_form_survives_a_restart(tmp_path):
    async with open_desk(tmp_path, plugins()) as desk:
        version, _ = await upload(desk, Converting(leaving()))
        digests = version.manifest.digests
    async with open_desk(tmp_path, plugins()) as desk:
        restored = desk.registry.version("churn", 1).manifest

        assert restored.digests == digests
        assert restored == version.manifest
        assert all(desk.operator.store.path(digest).exists() for digest in digests)


async def test_a_form_that_does_not_load_any_more_gives_way_to_the_original(shop):
    version, _ = await upload(shop, Converting(leaving()))
    await shop.operator.stop(version)
    loaders = dict(shop.operator.plugins.records["prism_loaders"])
    del loaders["fast"]  # its plugin was uninstalled
    records = {**shop.operator.plugins.records, "prism_loaders": loaders}
    operator = attrs.evolve(shop.operator, plugins=attrs.evolve(shop.operator.plugins, records=records))
    await operator.start(version)

    assert version.state is State.READY
    assert version.manifest.served.loader == "toy"
    assert "does not load any more" in version.manifest.optimization.reason


async def test_a_client_that_leaves_ends_the_conversion(shop):
    launcher = Converting(None)
    uploading = asyncio.create_task(upload(shop, launcher))
    await launcher.started.wait()
    uploading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await uploading

    assert (shop.files, rest(shop), launcher.stopped) == ([], [], ["churn-1-optimize"])


async def test_a_version_that_is_told_to_stop_is_not_converted_on(shop):
    launcher = Converting(None)
    uploading = asyncio.create_task(upload(shop, launcher))
    await launcher.started.wait()
    await asyncio.sleep(0)
    shop.uploads.operator.supervisor.break_off = ignore
    shop.uploads.operator.break_off([shop.registry.version("churn", 1)])
    with pytest.raises(IllegalTransition, match="while it was optimized"):
        await uploading

    assert (shop.files, rest(shop), launcher.stopped) == ([], [], ["churn-1-optimize"])
    assert shop.uploads.operator.breakable == {}


def test_an_optimization_is_shown_with_its_speedups():
    shown = shown_optimization(SERVED)

    assert shown["speedup"] == {"1": 3.0}
    assert shown_optimization(None) is None


def test_a_manifest_of_an_earlier_version_has_no_optimization():
    old = b'{"model":"a","version":1,"loader":"toy","plugin":"toy","artifact":"a","digest":"sha256:0",'
    manifest = Manifest.from_json(old + b'"size_bytes":1,"created":0}')

    assert (manifest.optimize, manifest.optimization, manifest.digests) == ("off", None, ("sha256:0",))
