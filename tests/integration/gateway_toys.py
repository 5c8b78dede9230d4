"""A loader of numbers and a place to run them: whole gateways without a framework and without processes.

An artifact ``3.toy`` that holds ``3`` multiplies by 3; ``bad`` does not load. Replicas are
the real runtime on their real sockets, inside the process that asks for them.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType

import attrs
import msgspec
import numpy as np
import pluggy

from prism_core import hookspecs
from prism_core.errors import LaunchFailed, ModelLoadFailed
from prism_core.gateway.cache import prism_caches
from prism_core.gateway.gateway import UploadRequest
from prism_core.gateway.opening import open_gateway
from prism_core.gateway.store import passing
from prism_core.links import lan
from prism_core.manifest import Manifest
from prism_core.plugin import (
    Artifact,
    BaseModel,
    Batch,
    IsolationBackend,
    Loader,
    Normalizer,
    ReplicaHandle,
    Signature,
    TensorSpec,
    Usage,
    hookimpl,
)
from prism_core.plugins import LoadedPlugin, PluginSet
from prism_core.runtime.engine import Engine
from prism_core.runtime.server import Service, serve
from prism_core.runtime.session import Session
from prism_core.settings import LimitSettings, Settings

SIGNATURE = Signature((TensorSpec("x", "FP64", (-1,)),), (TensorSpec("y", "FP64", (-1,)),))


class Times(BaseModel):
    signature = SIGNATURE

    def __init__(self, factor):
        self.factor = factor

    def predict(self, inputs):
        return Batch({"y": inputs["x"] * self.factor})


JSON = Normalizer(
    "application/json",
    lambda body, signature, request: Batch({"x": np.array(msgspec.json.decode(body), dtype=float)}),
    lambda answer: msgspec.json.encode(answer.outputs["y"].tolist()),
)
NORMALIZERS = {"application/json": JSON}


def load(artifact, options):
    text = artifact.path.read_text()
    if text == "bad":
        raise ModelLoadFailed("It is not a number.")
    return Times(float(text))


TOY = Loader("toy", (".toy",), lambda artifact: float(artifact.suffix == ".toy"), load)


@attrs.define(eq=False)
class Running:
    service: Service
    listener: socket.socket
    task: asyncio.Task
    code: int = 0


class ToyLauncher:
    """Runs replicas as tasks. ``refuse`` makes every start fail, ``gate`` delays it; each uses ``memory``."""

    def __init__(self):
        self.running: dict[str, Running] = {}
        self.starts: list[str] = []
        self.refuse = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.memory = 1000
        self.graces: list[float] = []

    async def start(self, spec, listener):
        self.starts.append(spec.replica)
        await self.gate.wait()
        if self.refuse:
            raise LaunchFailed("There is no more room.")
        manifest = Manifest.read(spec.manifest)
        engine, failure = None, None
        try:
            model = load(Artifact(spec.artifact, manifest.artifact), None)
            session = Session(manifest, model, NORMALIZERS)
            engine = Engine(session, manifest.batching)
        except ModelLoadFailed as error:
            failure = error
        service = Service(engine, failure=failure, token=spec.token)
        own = listener.dup()
        task = asyncio.create_task(serve(service, own, 5.0))
        (spec.directory / "log").write_text(f"hello from {spec.replica}\n")
        self.running[spec.replica] = Running(service, own, task)
        return ReplicaHandle(spec.replica, "toy", 0, 0.0, "")

    async def wait(self, handle):
        running = self.running.get(handle.replica)
        if running:
            await asyncio.wait({running.task})
        return running.code if running else -1

    async def poll(self, handle):
        running = self.running.get(handle.replica)
        return None if running and not running.task.done() else 0

    async def stop(self, handle, grace_s):
        self.graces.append(grace_s)
        running = self.running.get(handle.replica)
        if running and not running.task.done():
            if grace_s:
                running.service.draining.set()
                await running.task
            else:
                self.crash(handle.replica)
                await asyncio.wait({running.task})

    async def usage(self, handle):
        return Usage(self.memory, 0.0)

    async def logs(self, spec_directory, tail, follow):
        for line in (spec_directory / "log").read_text().splitlines()[-tail:]:
            yield line

    def crash(self, replica):
        """End a replica as SIGKILL would: its connections break, nothing is answered."""
        running = self.running[replica]
        running.code = -9
        running.task.cancel()
        asyncio.get_running_loop().remove_reader(running.listener)
        running.listener.close()
        for transport in tuple(running.service.connections):
            transport.abort()


def plugin_set(launcher: ToyLauncher, **hooks) -> PluginSet:
    """Return the plugins of a toy gateway; ``hooks`` are further implementations by name."""

    @asynccontextmanager
    async def open_toy(config):
        yield launcher

    module = ModuleType("toy")
    for name, function in hooks.items():
        setattr(module, name, hookimpl(function))
    manager = pluggy.PluginManager("prism")
    manager.add_hookspecs(hookspecs)
    manager.register(module)
    empty = ("prism_caches", "prism_guards", "prism_observers", "prism_frontends", "prism_commands")
    records = {kind: {} for kind in empty} | {
        "prism_loaders": {"toy": TOY},
        "prism_normalizers": NORMALIZERS,
        "prism_isolation_backends": {"toy": IsolationBackend("toy", open=open_toy)},
        "prism_link_providers": {one.name: one for one in lan.prism_link_providers()},
    }
    plugins = {"toy": LoadedPlugin("toy", "toy=toy", "0", "toy", module)}
    return PluginSet(manager.hook, plugins, {}, records, {("prism_loaders", "toy"): "toy"})


@asynccontextmanager
async def toy_gateway(data: Path, launcher=None, checkpoint=passing, hooks=None, cached=False, **settings):
    """Open a gateway on ``data`` with toy replicas; ``cached``: it keeps their answers."""
    launcher = launcher or ToyLauncher()
    limits = LimitSettings(ready_s=10, drain_s=2)
    chosen = Settings(data_dir=data, isolation="toy", limits=limits, host="127.0.0.1", **settings)
    plugins = plugin_set(launcher, **(hooks or {}))
    if cached:
        plugins.records["prism_caches"].update({one.name: one for one in prism_caches()})
    async with open_gateway(chosen, plugins, checkpoint=checkpoint) as gateway:
        yield gateway


def ignore(*_args):
    """Be told, and do nothing."""


async def upload(gateway, text: str, progress=ignore, **request):
    """Upload ``text`` as ``m.toy``."""
    asked = UploadRequest(**({"filename": "m.toy"} | request))
    async with gateway.stage("m.toy") as staged:
        await staged.write(text.encode())
        return await gateway.upload(asked, staged, progress)


async def predict(gateway, reference: str, *values: float) -> list[float]:
    """Return what ``reference`` makes of ``values``."""
    answer = await gateway.service.predict(reference, msgspec.json.encode(list(values)))
    return msgspec.json.decode(bytes(answer.body))


async def until(condition, timeout_s=10.0):
    """Wait until ``condition()`` holds; for what has no event."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.01)
