"""Bring one replica up: load its plugins and its model, then serve until told to stop."""

from __future__ import annotations

import asyncio
import gc
import importlib
import logging
import signal
import socket
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from prism_core.errors import ModelLoadFailed, PrismError
from prism_core.manifest import Manifest
from prism_core.plugins import find, load_plugins
from prism_core.protocols import BaseModel, ReplicaSpec
from prism_core.runtime.engine import Engine
from prism_core.runtime.server import Service, serve
from prism_core.runtime.session import Session
from prism_core.specs import Artifact, Loader

# How long a replica whose model failed to load waits for a gateway to hear why.
REPORT_S = 10.0
DRAIN_S = 10.0
# While the model computes in the worker thread, the loop's thread may wait this long for
# the interpreter lock. CPython's 5 ms would be most of a small model's latency.
SWITCH_INTERVAL_S = 0.0005

log = logging.getLogger("prism.runtime")


def run(spec: ReplicaSpec, listener: socket.socket) -> int:
    """Serve one replica on ``listener`` until SIGTERM or DRAIN.

    Returns
    -------
    int
        The exit code: 0 after a drain, 1 if the model could not be loaded.
    """
    _log_to_stderr()
    loop_factory = None
    if sys.platform != "win32":
        try:
            import uvloop

            loop_factory = uvloop.new_event_loop
        except ImportError:
            log.info("uvloop is not installed; the standard event loop is used")
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(_serve(spec, listener))


async def _serve(spec: ReplicaSpec, listener: socket.socket) -> int:
    begun = time.perf_counter()
    try:
        session, warnings, framework = load(spec)
    except PrismError as error:
        log.error("model.load_failed %s: %s", error.code, error.message)
        return await _report(spec, listener, error)
    engine = Engine(session, session.manifest.batching)
    service = Service(
        engine,
        token=spec.token,
        warnings=warnings,
        load_ms=(time.perf_counter() - begun) * 1000,
        framework=framework,
    )
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, service.draining.set)
    gc.collect()
    gc.freeze()
    manifest = session.manifest
    log.info(
        "model.ready model=%s version=%s load_ms=%.1f", manifest.model, manifest.version, service.load_ms
    )
    await serve(service, listener, DRAIN_S)
    return 0


async def _report(spec: ReplicaSpec, listener: socket.socket, error: PrismError) -> int:
    service = Service(None, failure=error, token=spec.token)

    async def stop_when_told() -> None:
        try:
            await asyncio.wait_for(service.reported.wait(), REPORT_S)
        except TimeoutError:
            log.warning("No gateway asked why the model failed to load.")
        service.draining.set()

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, service.draining.set)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(stop_when_told())
        tasks.create_task(serve(service, listener, DRAIN_S))
    return 1


def load(spec: ReplicaSpec) -> tuple[Session, tuple[str, ...], str]:
    """Load plugins and model as ``spec`` says and warm the model up.

    Returns
    -------
    tuple
        The session, warnings for the owner, and the framework's name and version.

    Raises
    ------
    PrismError
        With what failed; other exceptions of a loader become `ModelLoadFailed`.
    """
    manifest = Manifest.read(spec.manifest)
    plugins = load_plugins(spec.plugins, built_in=("inputs",))
    loader = find(plugins.loaders, manifest.loader, "loader")
    plugins.hooks.prism_runtime_startup(model=manifest.model, version=manifest.version, threads=spec.threads)
    model = _load_model(manifest, loader, spec.artifact)
    normalizers = {name: one for name, one in plugins.normalizers.items() if not one.available()}
    session = Session(manifest, model, normalizers)
    cold = session.warm_up()
    return session, (*model.warnings, *((cold,) if cold else ())), _framework(loader)


def _load_model(manifest: Manifest, loader: Loader, path: Path) -> BaseModel:
    try:
        options: object = msgspec.convert(manifest.options, loader.options)
    except msgspec.ValidationError as error:
        raise ModelLoadFailed(f"The options of loader {loader.name!r} are wrong: {error}.") from error
    for module in loader.requires[:1]:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise ModelLoadFailed(
                f"Loader {loader.name!r} needs {module!r}, which cannot be imported: {error}",
                hint=f"Install {module!r} in the model's environment.",
            ) from error
    try:
        return loader.load(Artifact(path, manifest.artifact), options)
    except PrismError:
        raise
    except Exception as error:
        log.exception("model.load_failed")
        raise ModelLoadFailed(
            f"Loader {loader.name!r} could not load {manifest.artifact!r}: {type(error).__name__}: {error}",
            hint="The replica's log has the trace; is the file whole, and made for this framework?",
        ) from error


def _framework(loader: Loader) -> str:
    for module in loader.requires[:1]:
        try:
            return f"{module} {sys.modules[module].__version__}"
        except (AttributeError, KeyError):
            try:
                return f"{module} {version(module)}"
            except PackageNotFoundError:
                return module
    return ""


def _log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
