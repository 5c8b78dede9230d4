"""Bring one replica up: load its plugins and its model, then serve until told to stop."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
import time

import attrs

from prism_core.errors import PrismError
from prism_core.protocols import OPTIMIZE, ReplicaSpec
from prism_core.runtime.engine import Engine
from prism_core.runtime.http import Bounds
from prism_core.runtime.loading import load
from prism_core.runtime.rehearsal import plugins_of, rehearse
from prism_core.runtime.server import Service, Stranger, serve

__all__ = ["rehearse", "run"]

# How long a replica whose model failed to load waits for a gateway to hear why.
REPORT_S = 10.0
DRAIN_S = 10.0
# Requests are worth more than a task beside them.
NICENESS = 5
# While the model computes in the worker thread, the loop's thread may wait this long for
# the interpreter lock. CPython's 5 ms would be most of a small model's latency.
SWITCH_INTERVAL_S = 0.0005

log = logging.getLogger("prism.runtime")


@attrs.frozen
class Alone:
    """A replica without a gateway: it speaks HTTP to anybody, and ends with what it cannot load."""

    bounds: Bounds = Bounds()
    drain_s: float = 30.0


def run(spec: ReplicaSpec, listener: socket.socket, alone: Alone | None = None) -> int:
    """Serve one replica on ``listener`` until SIGTERM or DRAIN, or do the one task that ``spec`` names.

    Returns
    -------
    int
        The exit code: 0 after a drain, 1 if the model could not be loaded.
    """
    _log_to_stderr()
    if spec.task == OPTIMIZE:
        listener.close()
        from prism_core.runtime.optimizing import job  # no business of a replica that serves

        os.nice(NICENESS)
        return job.run(spec)
    loop_factory = None
    if sys.platform != "win32":
        try:
            import uvloop

            loop_factory = uvloop.new_event_loop
        except ImportError:
            log.info("uvloop is not installed; the standard event loop is used")
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(_serve(spec, listener, alone))


async def _serve(spec: ReplicaSpec, listener: socket.socket, alone: Alone | None) -> int:
    begun = time.perf_counter()
    try:
        session, warnings, framework = load(spec)
    except PrismError as error:
        log.error("model.load_failed %s: %s", error.code, error.message)
        return 1 if alone else await _report(spec, listener, error)
    engine = Engine(session, session.manifest.batching)
    service = Service(
        engine,
        token=spec.token,
        warnings=warnings,
        load_ms=(time.perf_counter() - begun) * 1000,
        framework=framework,
        sandbox=spec.sandbox,
        bounds=alone.bounds if alone else Bounds(),
        dialects=plugins_of(spec.plugins).dialects.values(),
    )
    _end_with(service, signal.SIGTERM, *((signal.SIGINT,) if alone else ()))
    gc.collect()
    gc.freeze()
    manifest = session.manifest
    log.info(
        "model.ready model=%s version=%s load_ms=%.1f", manifest.model, manifest.version, service.load_ms
    )
    if alone:
        await serve(service, listener, alone.drain_s, Stranger)
    else:
        await serve(service, listener, DRAIN_S)
    return 0


def _end_with(service: Service, *signals: signal.Signals) -> None:
    for one in signals:
        asyncio.get_running_loop().add_signal_handler(one, service.draining.set)


async def _report(spec: ReplicaSpec, listener: socket.socket, error: PrismError) -> int:
    service = Service(None, failure=error, token=spec.token)

    async def stop_when_told() -> None:
        try:
            await asyncio.wait_for(service.reported.wait(), REPORT_S)
        except TimeoutError:
            log.warning("No gateway asked why the model failed to load.")
        service.draining.set()

    _end_with(service, signal.SIGTERM)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(stop_when_told())
        tasks.create_task(serve(service, listener, DRAIN_S))
    return 1


def _log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    # Pillow tells the log what is odd about a picture: that is for its sender, who is told.
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
