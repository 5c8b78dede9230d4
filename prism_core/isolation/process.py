"""The built-in isolation backend ``process``: every replica is a process and a session of its own.

Where fork is safe (Linux, one thread a replica) replicas are forked from a zygote, else a
fresh interpreter is spawned. Either way a replica is tied to the gateway's life by the
kernel, writes its output into its own log, and sees none of the gateway's descriptors.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import attrs
import psutil

from prism_core.errors import LaunchFailed
from prism_core.hookspecs import hookimpl
from prism_core.isolation.config import ProcessConfig, confines_of, machine_memory_bytes, outset_of
from prism_core.isolation.confine import Confines
from prism_core.isolation.forking import UNKNOWN_EXIT, Forker, Kind, NotForkable, Started, ZygoteLost
from prism_core.isolation.probing import abilities
from prism_core.isolation.sandbox import Abilities, Level, chosen, warning, with_threads
from prism_core.isolation.spawning import kill_group, spawn
from prism_core.isolation.usage import usage_of
from prism_core.isolation.watching import Watched, look_after
from prism_core.logfile import open_log, read_log
from prism_core.protocols import OPTIMIZE, Launcher, ReplicaHandle, ReplicaSpec, Usage
from prism_core.specs import IsolationBackend

NAME = "process"
RUNTIME = "prism_core.runtime.main:run"
# How many ended replicas are remembered, for whoever polls late.
REMEMBERED = 1000
# How often running replicas are looked after: a few system calls each, while any runs.
LOOK_S = 2.0

log = logging.getLogger("prism.isolation")


@hookimpl
def prism_isolation_backends() -> list[IsolationBackend]:
    """Offer ``process``."""
    return [IsolationBackend(NAME, open=open_processes, config=ProcessConfig, available=available)]


def available() -> str:
    """Return "" or why processes cannot be tied to the gateway here."""
    return (
        "" if os.name == "posix" else "Passing sockets to processes needs Linux or macOS; use WSL on Windows."
    )


def start_method() -> tuple[str, str]:
    """Return ``("zygote", "")``, or ``("spawn", reason)`` where a fresh interpreter is started."""
    if sys.platform != "linux":
        return "spawn", f"fork is not safe on {sys.platform}; a model starts in seconds, not milliseconds"
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError:
        return "spawn", "this kernel has no pidfd (Linux 5.3 or newer has); a model starts in seconds"
    return "zygote", ""


@asynccontextmanager
async def open_processes(config: ProcessConfig, entry: str = RUNTIME) -> AsyncIterator[Launcher]:
    """Open the launcher; when it is closed, nothing that it started is left.

    Parameters
    ----------
    entry
        What a replica runs: ``module:function``, called with the spec and the listener.
    """
    launcher = ProcessLauncher(config, entry)
    looking = asyncio.create_task(launcher.look_after())
    try:
        yield launcher
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
        await launcher.close()


@attrs.define(eq=False)
class _Replica:
    handle: ReplicaHandle
    watched: Watched
    exited: asyncio.Future[int]


class ProcessLauncher:
    """Starts replicas as processes; implements `Launcher`."""

    def __init__(self, config: ProcessConfig, entry: str = RUNTIME) -> None:
        self._entry = entry
        self._config = config
        self._memory_bytes = machine_memory_bytes()
        self._abilities: Abilities | None = None
        self._forks = config.zygote and start_method()[0] == "zygote"
        self._unforkable: set[Kind] = set()
        self._forker = Forker(entry, config.launch_s, config.zygote_idle_s)
        self._replicas: dict[tuple[int, float], _Replica] = {}

    async def start(self, spec: ReplicaSpec, listener: socket.socket | None) -> ReplicaHandle:
        """Start a replica; without a listener it gets one on a free port of 127.0.0.1."""
        kind = await self._kind(spec)
        bound = listener or socket.create_server(("127.0.0.1", 0))
        try:
            log = _open_log(spec)
            try:
                started = await self._start(kind, spec, log, bound)
            finally:
                os.close(log)
            return self._remember(kind, spec, started, _address(bound))
        finally:
            if listener is None:
                bound.close()

    async def _kind(self, spec: ReplicaSpec) -> Kind:
        """Decide how the replica is shut in; raises LaunchFailed if that is less than it must be."""
        if spec.sandbox == "off":
            level = Level.OFF
        else:
            if self._abilities is None:
                self._abilities = await asyncio.to_thread(abilities)
            level = chosen(spec.sandbox, self._abilities)
        if text := warning(level):
            log.warning("%s: %s", spec.replica, text)
        read, write = outset_of(spec, self._config)
        return Kind(spec.environment, spec.python, level, self._config.variables, read, write)

    async def _start(self, kind: Kind, spec: ReplicaSpec, log: int, listener: socket.socket) -> Started:
        try:
            return await self._fork_or_spawn(kind, spec, log, listener)
        except OSError as error:
            raise LaunchFailed(
                f"The interpreter of environment {spec.environment!r} cannot be started: {error.strerror}.",
                hint="Was its virtual environment removed or moved?",
            ) from error

    async def _fork_or_spawn(
        self, kind: Kind, spec: ReplicaSpec, log: int, listener: socket.socket
    ) -> Started:
        if self._forks and spec.threads == 1 and kind not in self._unforkable:
            try:
                return await self._fork(kind, spec, log, listener)
            except NotForkable:
                self._unforkable.add(kind)
        if kind in self._unforkable:
            kind = attrs.evolve(kind, level=with_threads(spec.sandbox, kind.level))

        told = attrs.evolve(spec, sandbox=kind.level.value)

        def spawn_tied(life: int) -> Awaitable[Started]:
            descriptors = [life, log, listener.fileno()]
            confines = self._confines(kind, spec)
            return spawn(kind, told, self._entry, confines, descriptors, self._config.launch_s)

        return await _tied(spawn_tied)

    def _confines(self, kind: Kind, spec: ReplicaSpec) -> Confines:
        return confines_of(spec, self._config, kind.level, self._memory_bytes)

    async def _fork(self, kind: Kind, spec: ReplicaSpec, log: int, listener: socket.socket) -> Started:
        told = attrs.evolve(spec, sandbox=kind.level.value)
        confines = self._confines(kind, spec)

        def fork(life: int) -> Awaitable[Started]:
            return self._forker.start(kind, told, confines, [life, log, listener.fileno()])

        # A zygote may be killed, for instance for memory, while it is asked: a new one is made, once.
        try:
            return await _tied(fork)
        except ZygoteLost:
            pass
        try:
            return await _tied(fork)
        except ZygoteLost as error:
            raise LaunchFailed(
                f"The warm process of environment {spec.environment!r} ended twice: {error}.",
                hint="Is prism-core installed in that environment? `prism doctor` tells.",
            ) from error

    def _remember(self, kind: Kind, spec: ReplicaSpec, started: Started, address: str) -> ReplicaHandle:
        try:
            began = psutil.Process(started.pid).create_time()
        except psutil.Error:  # it has ended already; its handle is still unlike any other
            began = time.time()
        handle = ReplicaHandle(spec.replica, NAME, started.pid, began, address)
        ended = [key for key, replica in self._replicas.items() if replica.exited.done()]
        for key in ended[:-REMEMBERED]:
            del self._replicas[key]
        watched = Watched(
            started.pid, spec.directory, self._confines(kind, spec).bounds, spec.task == OPTIMIZE
        )
        self._replicas[_key(handle)] = _Replica(handle, watched, started.exited)
        return handle

    async def poll(self, handle: ReplicaHandle) -> int | None:
        """Return None while it runs, else its exit code; -1 for one of a gateway that is gone."""
        replica = self._replicas.get(_key(handle))
        if replica:
            return replica.exited.result() if replica.exited.done() else None
        return None if _process(handle) else UNKNOWN_EXIT

    async def wait(self, handle: ReplicaHandle) -> int:
        """Return the exit code as soon as it has ended."""
        replica = self._replicas.get(_key(handle))
        if replica:
            return await asyncio.shield(replica.exited)
        # Of a gateway that was killed: the kernel is ending it as well.
        while _process(handle):  # noqa: ASYNC110 - nobody would set an event: it is not our child
            await asyncio.sleep(0.1)
        return UNKNOWN_EXIT

    async def stop(self, handle: ReplicaHandle, grace_s: float) -> None:
        """Ask it to drain, kill its process group after ``grace_s``."""
        if await self.poll(handle) is not None:
            return
        if handle.pid:
            with suppress(ProcessLookupError):
                os.kill(handle.pid, signal.SIGTERM)
        try:
            await asyncio.wait_for(self.wait(handle), grace_s)
        except TimeoutError:
            _kill(handle.pid)
            await self.wait(handle)

    def logs(self, spec_directory: Path, tail: int, follow: bool) -> AsyncIterator[str]:
        """Yield the last ``tail`` lines of its log, and with ``follow`` those to come."""
        return read_log(spec_directory, tail, follow)

    async def look_after(self) -> None:
        """Keep talkative models from filling the disk, and end what takes too much, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            running = [one.watched for one in self._replicas.values() if not one.exited.done()]
            for process, reason in await asyncio.to_thread(look_after, running) if running else ():
                log.warning("%s is ended: %s", process.directory.name, reason)
                _kill(process.pid)

    async def usage(self, handle: ReplicaHandle) -> Usage | None:
        """Measure its own memory and its share (of the pages that it has with its zygote), and CPU time."""
        replica = self._replicas.get(_key(handle))
        if replica and replica.exited.done():
            return None
        process = _process(handle)
        # In a thread: the kernel walks all of the replica's pages, which takes about a millisecond.
        return await asyncio.to_thread(usage_of, process) if process else None

    async def close(self) -> None:
        """Kill what still runs, then the zygotes."""
        running = [replica for replica in self._replicas.values() if not replica.exited.done()]
        for replica in running:
            _kill(replica.handle.pid)
        if running:
            await asyncio.wait([replica.exited for replica in running])
        await self._forker.close()


async def _tied(launch: Callable[[int], Awaitable[Started]]) -> Started:
    """Launch with a life line of its own.

    Closed on any failure, a cancellation included, it ends what was begun but not yet reported.
    """
    read_end, write_end = os.pipe()
    try:
        started = await launch(read_end)
    except BaseException:
        os.close(write_end)
        raise
    finally:
        os.close(read_end)
    started.exited.add_done_callback(lambda _: os.close(write_end))
    return started


def _open_log(spec: ReplicaSpec) -> int:
    try:
        spec.directory.mkdir(parents=True, exist_ok=True)
        return open_log(spec.directory)
    except OSError as error:
        raise LaunchFailed(
            f"The log of replica {spec.replica!r} cannot be opened: {error.strerror}.",
            hint="May the server write into its data directory, and is there space?",
        ) from error


def _kill(pid: int) -> None:
    if not pid:  # it was gone before it could be seen; 0 would be this very group
        return
    kill_group(pid)
    # One that was forked a moment ago leads no group yet.
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _address(listener: socket.socket) -> str:
    name = listener.getsockname()
    return f"unix:{name}" if listener.family == socket.AF_UNIX else f"tcp:{name[0]}:{name[1]}"


def _key(handle: ReplicaHandle) -> tuple[int, float]:
    return handle.pid, handle.started


def _process(handle: ReplicaHandle) -> psutil.Process | None:
    """Return the replica's process unless it has ended, or another one has its pid now."""
    try:
        process = psutil.Process(handle.pid)
        same = abs(process.create_time() - handle.started) < 1
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.Error:
        return None
