"""A gateway's use cases with a supervisor that starts nothing: everything else is the real thing."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import attrs
import msgspec
import pluggy
import pytest

from prism_core import hookspecs, wire
from prism_core.errors import InvalidInput, ModelLoadFailed
from prism_core.gateway.auditing import open_audit
from prism_core.gateway.crew import Crew
from prism_core.gateway.deploy import Uploads
from prism_core.gateway.extensions import Openings
from prism_core.gateway.lane import Lane, Prediction
from prism_core.gateway.loads import Loads
from prism_core.gateway.operate import Operator
from prism_core.gateway.records import open_records
from prism_core.gateway.registry import Registry
from prism_core.gateway.restarts import RestartPolicy
from prism_core.gateway.store import Store
from prism_core.gateway.supervisor import Supervisor
from prism_core.gateway.views import UploadRequest
from prism_core.manifest import Manifest
from prism_core.plugins import LoadedPlugin, PluginSet
from prism_core.settings import Settings
from prism_core.specs import IsolationBackend, Loader
from prism_core.types import Signature, TensorSpec

SIGNATURE = Signature((TensorSpec("x", "FP64", (-1, 2)),), (TensorSpec("y", "FP64", (-1,)),))


def manifest_of(model="churn", version=1, **facts) -> Manifest:
    values = dict(loader="toy", plugin="toy", artifact="a.toy", digest="sha256:00", size_bytes=4, created=0.0)
    return Manifest(model, version, **(values | facts))


def ignore(*_args) -> None:
    """Be told, and do nothing."""


@attrs.frozen
class ToyOptions:
    depth: int = 1
    trust: tuple[str, ...] = ()


def recognises(artifact) -> float:
    return 1.0 if artifact.suffix == ".toy" or artifact.path.is_dir() else 0.0


TOY = Loader("toy", (".toy",), recognises=recognises, load=ignore, options=ToyOptions)


class FakeCrew(Crew):
    """Replicas that are ready at once, and whose lane answers by itself."""

    supervisor: FakeSupervisor

    async def start(self, count):
        manifest = self.manifest
        self.supervisor.started.append((manifest.model, manifest.version))
        await self.supervisor.gate.wait()
        if manifest.digest in self.supervisor.broken:
            raise ModelLoadFailed("The model does not load.")
        return wire.Ready(1, msgspec.to_builtins(SIGNATURE), ["an old version"], 1.0, "toy 1")


class FakeSupervisor(Supervisor):
    """Starts nothing. ``broken`` holds digests that do not load; ``gate`` delays every start."""

    def __init__(self):
        super().__init__(None, None, RestartPolicy())
        self.broken, self.started = set(), []
        self.gate = asyncio.Event()
        self.gate.set()

    def enlist(self, manifest, place, use):
        crew = self.crews[manifest.model, manifest.version] = FakeCrew(
            manifest, place, None, None, None, use=use
        )
        crew.supervisor = self
        return crew


class AnsweringLane(Lane):
    """A lane without replicas; the body ``bad`` is not understood."""

    async def predict(self, head, body, timeout_s=0.0, request="", sender=None):
        if body == b"bad":
            raise InvalidInput("That is no row.")
        return Prediction(b"[]", head.media_type, self.manifest.model, self.manifest.version, 1)


def plugin_set(*modules, **records) -> PluginSet:
    manager = pluggy.PluginManager("prism")
    manager.add_hookspecs(hookspecs)
    for module in modules:
        manager.register(module)
    kinds = {"prism_loaders": {"toy": TOY}} | records
    plugins = {"toy": LoadedPlugin("toy", "toy=toy", "0", "toy", None)}
    return PluginSet(manager.hook, plugins, {}, kinds, {("prism_loaders", "toy"): "toy"})


@asynccontextmanager
async def open_nothing(config):
    yield SimpleNamespace()


@attrs.define(eq=False)
class Desk:
    """Everything that a test wants to reach."""

    uploads: Uploads
    events: list

    @property
    def operator(self) -> Operator:
        return self.uploads.operator

    @property
    def registry(self) -> Registry:
        return self.operator.registry

    @property
    def supervisor(self) -> FakeSupervisor:
        return self.operator.supervisor

    async def upload(self, data: bytes, progress=ignore, anew=True, **request):
        store = self.operator.store
        asked = UploadRequest(**({"filename": "churn.toy"} | request))
        async with store.stage() as staged:
            await staged.write(data)
            return await self.uploads.upload(asked, lambda: store.keep(staged), progress, anew=anew)

    def serves(self, reference: str) -> int | None:
        lane = self.registry.lanes.get(reference)
        return lane.manifest.version if lane else None

    @property
    def files(self) -> list[str]:
        return sorted(p.name for p in self.operator.store.directory.iterdir())


@asynccontextmanager
async def open_desk(data: Path, plugins: PluginSet | None = None, checkpoint=ignore):
    async with AsyncExitStack() as stack:
        records = await stack.enter_async_context(open_records(data / "prism.db", checkpoint))
        events: list = []
        registry = Registry(events.append)
        store = Store(data / "artifacts", 1000, checkpoint)
        registry.restore(await records.models())
        needed = [digest for version in registry.versions() for digest in version.manifest.digests]
        for digest in needed:
            store.hold(digest)
        store.collect(needed)
        backends = {"process": IsolationBackend("process", open=open_nothing)}
        supervisor = FakeSupervisor()
        operator = Operator(
            settings=Settings(),
            plugins=plugins or plugin_set(),
            store=store,
            records=records,
            registry=registry,
            supervisor=supervisor,
            loads=Loads(supervisor, registry, Settings()),
            launchers=Openings(backends, "isolation backend", {}, stack),
            make_lane=lambda m, s: AnsweringLane(m, s, cache=None, record=ignore),
            data=data,
            run=data,
        )
        audit = await stack.enter_async_context(open_audit(data))
        yield Desk(Uploads(operator, audit, checkpoint), events)


@pytest.fixture
async def desk(tmp_path):
    async with open_desk(tmp_path) as opened:
        yield opened
