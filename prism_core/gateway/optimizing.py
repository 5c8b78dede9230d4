"""Have a version's model converted into a faster form, in a process that is no replica.

An upload never fails here: whatever goes wrong, the original is served and the reason kept.
The process sees what a replica of the version would see and ends with its task; it is bounded
in time and memory, and what it leaves on disk is gone when the caller has looked at it.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
import shutil
import socket
import stat
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import attrs
import msgspec
import structlog

from prism_core.errors import PrismError
from prism_core.gateway.replica import Ledger, Place
from prism_core.gateway.restarts import exit_text
from prism_core.manifest import Manifest
from prism_core.optimization import (
    EXAMPLE_FILE,
    FORMS_DIRECTORY,
    OUTCOME_FILE,
    TASK_FILE,
    Optimization,
    Outcome,
    Task,
)
from prism_core.protocols import OPTIMIZE, ReplicaHandle, ReplicaSpec
from prism_core.settings import LimitSettings
from prism_core.specs import Optimizer

# How often the process is measured: a conversion takes seconds.
MEASURE_S = 0.5
# An outcome is a page of facts; the process that wrote it has run somebody's code.
MAX_OUTCOME_BYTES = 1 << 20

log = structlog.get_logger("prism.optimize")


@attrs.frozen(eq=False)
class Workshop:
    """Where conversions are made: a place as for replicas, and bounds."""

    place: Place
    ledger: Ledger
    limits: LimitSettings

    @asynccontextmanager
    async def converted(
        self, manifest: Manifest, optimizer: Optimizer, example: tuple[str, bytes] | None
    ) -> AsyncIterator[tuple[Optimization, Path | None]]:
        """Convert; yield what came of it and where the form lies while the block runs, None for no form."""
        directory = self.place.replicas / f"{manifest.model}-{manifest.version}-{OPTIMIZE}"
        await asyncio.to_thread(_remake, directory)
        try:
            spec = self._spec(manifest, optimizer, example, directory)
            try:
                problem = await self._run(spec)
            except PrismError as error:
                problem = error.message
            except OSError as error:
                problem = f"the conversion could not be started: {error.strerror}"
            yield await asyncio.to_thread(_outcome, directory, problem)
        finally:
            await asyncio.shield(asyncio.to_thread(shutil.rmtree, directory, True))

    def _spec(
        self, manifest: Manifest, optimizer: Optimizer, example: tuple[str, bytes] | None, directory: Path
    ) -> ReplicaSpec:
        media_type, body = example or ("", b"")
        (directory / "manifest.json").write_bytes(manifest.to_json())
        (directory / TASK_FILE).write_bytes(msgspec.json.encode(Task(optimizer.name, media_type)))
        (directory / EXAMPLE_FILE).write_bytes(body)
        return ReplicaSpec(
            replica=directory.name,
            manifest=directory / "manifest.json",
            artifact=self.place.artifact,
            directory=directory,
            plugins=self.place.plugins,
            warm=self.place.warm,
            environment=manifest.environment,
            python=self.place.python,
            threads=manifest.threads,
            memory_limit_bytes=self.limits.optimize_memory,
            limits=self.limits.of_readers,
            task=OPTIMIZE,
            sandbox=self.place.sandbox,
            private=self.place.private,
            recipe=self.place.recipe,
        )

    async def _run(self, spec: ReplicaSpec) -> str:
        """Run the process to its end; return "" or why it did not come to a good one."""
        launcher = self.place.launcher
        with self._listening() as listener:
            handle = await launcher.start(spec, listener)
        try:
            await self.ledger.replica_started(handle)
            return await self._watched(handle)
        finally:
            await asyncio.shield(self._ended(handle))

    async def _watched(self, handle: ReplicaHandle) -> str:
        limit, end = self.limits.optimize_memory, time.monotonic() + self.limits.optimize_s
        ended = asyncio.ensure_future(self.place.launcher.wait(handle))
        try:
            while (left_s := end - time.monotonic()) > 0:
                await asyncio.wait({ended}, timeout=min(MEASURE_S, left_s))
                if ended.done():
                    return (
                        ""
                        if ended.result() == 0
                        else f"the conversion ended with {exit_text(ended.result())}"
                    )
                usage = await self.place.launcher.usage(handle)
                if usage and usage.memory_bytes > limit:
                    return f"the conversion needed more memory than limits.optimize_memory, {limit} bytes"
        finally:
            ended.cancel()
        return f"the conversion took longer than limits.optimize_s, {self.limits.optimize_s:g} s"

    async def _ended(self, handle: ReplicaHandle) -> None:
        await self.place.launcher.stop(handle, 0)
        await self.ledger.replica_gone(handle.replica)

    @contextmanager
    def _listening(self) -> Iterator[socket.socket | None]:
        """Yield what a backend wants to hand over, though nobody will ever call there."""
        if self.place.transport != "unix":
            yield None
            return
        path = self.place.run / f"{secrets.token_hex(6)}.sock"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            try:
                listener.listen(1)
                yield listener
            finally:
                path.unlink(missing_ok=True)


def _remake(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)


def _outcome(directory: Path, problem: str) -> tuple[Optimization, Path | None]:
    """Read what the process left, trusting nothing of it."""
    failed = Optimization("failed", problem or "the conversion left no outcome")
    if problem:
        return failed, None
    path = directory / OUTCOME_FILE
    try:
        if not _is_plain(path) or path.stat().st_size > MAX_OUTCOME_BYTES:
            return failed, None
        outcome = msgspec.json.decode(path.read_bytes(), type=Outcome)
    except (OSError, ValueError, RecursionError, msgspec.MsgspecError):  # also text that is no UTF-8
        return failed, None
    if outcome.optimization.state != "served":
        return outcome.optimization, None
    form = directory / FORMS_DIRECTORY / outcome.form
    if "/" in outcome.form or not outcome.form.strip(".") or not _is_plain(form):
        return attrs.evolve(failed, reason="the converted form is no plain file or directory"), None
    return outcome.optimization, form


def _is_plain(path: Path) -> bool:
    """Tell whether ``path`` and all below it are files and directories: a link could lead anywhere."""
    try:
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode):
            return all(map(_is_plain, path.iterdir()))
        return stat.S_ISREG(mode)
    except (OSError, RecursionError):  # gone, or directories without end in each other
        return False


def example_of(example: str | None, media_type: str) -> tuple[str, bytes] | None:
    """Return an upload's example as media type and bytes; None where there is none that can be read."""
    if example is None:
        return None
    with suppress(ValueError):
        return media_type, base64.b64decode(example, validate=True)
    return None
