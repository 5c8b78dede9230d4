"""One replica as the gateway sees it: start it, connect to it, hear of its loss, end it."""

from __future__ import annotations

import asyncio
import secrets
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import attrs
import structlog

from prism_core.errors import LaunchFailed, ReplicaLost
from prism_core.gateway.client import ReplicaClient, connect
from prism_core.gateway.lane import Lane
from prism_core.gateway.lifecycle import State
from prism_core.gateway.restarts import exit_text
from prism_core.limits import Limits
from prism_core.manifest import Manifest
from prism_core.protocols import Explains, Launcher, ReplicaHandle, ReplicaSpec, Usage

# Lines of a replica's log that an error carries.
LAST_WORDS = 12
# How long it is waited for the exit code of a replica whose connection has closed: a moment for a
# process, up to a second or two for a container.
EXIT_S = 3.0
# How often it is looked whether the last answer of a replica that is to end has come.
LOOK_S = 0.005

log = structlog.get_logger("prism.supervisor")


class Ledger(Protocol):
    """Where running processes are written down, for a gateway that comes after a crash."""

    async def replica_started(self, handle: ReplicaHandle) -> None:
        """Remember a process."""

    async def replica_gone(self, replica: str) -> None:
        """Forget it."""

    async def replicas(self) -> list[ReplicaHandle]:
        """Return those that were not forgotten."""


async def unchecked() -> None:
    """Believe that an artifact is what it was."""


@attrs.frozen
class Place:
    """Where and how replicas of a version are started: everything about it that is not its own.

    ``whole`` raises if the artifact is not what was uploaded any more. ``recipe`` is the file of
    the environment.
    """

    launcher: Launcher
    backend: str
    transport: str
    artifact: Path
    plugins: tuple[str, ...]
    warm: tuple[str, ...]
    replicas: Path
    run: Path
    ready_s: float
    drain_s: float
    python: str = sys.executable
    sandbox: str = "best"
    private: tuple[Path, ...] = ()
    limits: Limits = Limits()
    recipe: Path | None = None
    whole: Callable[[], Awaitable[None]] = unchecked


@attrs.define(eq=False)
class Replica:
    """One replica of a version.

    ``reason`` is why it is being ended now, ``last_loss`` why it was last replaced, ``lost``
    is set when its connection has ended; it has left ``lane`` then. ``usage`` is what it was last
    measured to use, at ``measured`` on the monotonic clock.
    """

    name: str
    manifest: Manifest
    place: Place
    ledger: Ledger
    state: State = State.STARTING
    handle: ReplicaHandle | None = None
    socket_path: Path | None = None
    client: ReplicaClient | None = None
    restarts: int = 0
    started: float = 0.0
    reason: str = ""
    last_loss: str = ""
    pinging: bool = False
    usage: Usage | None = None
    measured: float = 0.0
    lost: asyncio.Event = attrs.field(factory=asyncio.Event)
    lane: Lane | None = None
    _notes: set[asyncio.Task[None]] = attrs.field(factory=set)

    @property
    def directory(self) -> Path:
        """Its private directory."""
        return self.place.replicas / self.name

    async def start(self) -> None:
        """Start it and wait until its model is ready.

        Raises
        ------
        PrismError
            Why it could not; then nothing of it is left running.
        """
        self.state, self.reason, self.usage = State.STARTING, "", None
        self.lost.clear()
        await self.place.whole()
        listener: socket.socket | None = None
        try:
            spec = self._spec()
            listener, address = self._listen() if self.place.transport == "unix" else (None, "")
            self.handle = await self.place.launcher.start(spec, listener)
            self.started = time.time()
            # Written while the model loads: a gateway that dies meanwhile leaves the kernel to end it.
            self._note(self.ledger.replica_started(self.handle))
            self.client = await self._connect(address or self.handle.address, spec, listener)
        except OSError as error:
            await asyncio.shield(self.end(0))
            raise LaunchFailed(f"Replica {self.name!r} could not be started: {error.strerror}.") from error
        except BaseException:
            await asyncio.shield(self.end(0))
            raise
        finally:
            if listener:
                # The replica has its own descriptor; with ours open, its death would go unheard.
                # The path stays: `curl --unix-socket` speaks to a replica as long as it lives.
                listener.close()
        self.state = State.READY

    async def end(self, grace_s: float) -> None:
        """Take it out of its lane, let it answer what it has for up to ``grace_s``, and end it."""
        handle, client, lane = self.handle, self.client, self.lane
        self.handle = self.client = self.lane = None
        if self.socket_path:
            self.socket_path.unlink(missing_ok=True)
            self.socket_path = None
        if client:
            if lane:
                lane.remove(client)
            if grace_s:
                grace_s = await settled(client, grace_s)
                client.drain()
        if handle:
            await self.place.launcher.stop(handle, grace_s)
            self._note(self.ledger.replica_gone(self.name))
        if client:
            await client.close()

    def join(self, lane: Lane) -> None:
        """Serve in ``lane``, unless it has been lost meanwhile."""
        if self.client and not self.lost.is_set():
            self.lane = lane
            lane.add(self.client)

    def _hear_loss(self, client: ReplicaClient) -> None:
        if self.lane:
            self.lane.remove(client)
        self.lost.set()

    def _note(self, writing: Coroutine[Any, Any, None]) -> None:
        """Write in the ledger, while other things go on: no call waits for a disk that is slow or full."""
        task = asyncio.create_task(self._noted(writing))
        self._notes.add(task)
        task.add_done_callback(self._notes.discard)

    async def _noted(self, writing: Coroutine[Any, Any, None]) -> None:
        try:
            await writing
        except Exception:  # the kernel ends it with the gateway, also where it was not written down
            log.exception("replica.not_noted", replica=self.name)

    async def kill(self, reason: str) -> None:
        """End it because it misbehaves; it is replaced like one that died."""
        self.reason = reason
        if self.handle:
            await self.place.launcher.stop(self.handle, 0)

    async def measure(self) -> Usage | None:
        """Measure what it uses now; None while it is not running."""
        handle = self.handle
        usage = await self.place.launcher.usage(handle) if handle else None
        if usage and self.handle is handle:
            self.usage, self.measured = usage, time.monotonic()
        return usage

    async def end_text(self) -> str:
        """Return how it ended, in words, and why where its backend knows."""
        code = -1
        if self.handle:
            # Its connection closed a moment before it ended, or it closed it and lives on.
            with suppress(TimeoutError):
                code = await asyncio.wait_for(self.place.launcher.wait(self.handle), EXIT_S)
        return exit_text(code) + self._why()

    def _why(self) -> str:
        launcher = self.place.launcher
        why = launcher.reason(self.handle) if self.handle and isinstance(launcher, Explains) else ""
        return f": {why}" if why else ""

    async def last_words(self) -> list[str]:
        """Return the end of its log."""
        words: list[str] = []
        with suppress(Exception):  # a log that cannot be read must not hide why it is wanted
            lines = self.place.launcher.logs(self.directory, LAST_WORDS, False)
            words = [line.rstrip("\n") async for line in lines]
        return words

    # --- starting --------------------------------------------------------------------

    def _spec(self) -> ReplicaSpec:
        self.directory.mkdir(parents=True, exist_ok=True)
        manifest = self.directory / "manifest.json"
        content = self.manifest.served.to_json()
        if not (manifest.is_file() and manifest.read_bytes() == content):  # a restart needs no free disk
            manifest.write_bytes(content)
        place = self.place
        return ReplicaSpec(
            replica=self.name,
            manifest=manifest,
            artifact=place.artifact,
            directory=self.directory,
            plugins=place.plugins,
            warm=place.warm,
            environment=self.manifest.environment,
            python=place.python,
            threads=self.manifest.threads,
            memory_limit_bytes=self.manifest.memory_limit_bytes,
            token="" if place.transport == "unix" else secrets.token_hex(16),
            sandbox=place.sandbox,
            private=place.private,
            limits=place.limits,
            recipe=place.recipe,
        )

    def _listen(self) -> tuple[socket.socket, str]:
        # Short random names: a Unix socket's path ends at 107 bytes, a model's name need not.
        path = self.socket_path = self.place.run / f"{secrets.token_hex(6)}.sock"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen(128)
        return listener, f"unix:{path}"

    async def _connect(
        self, address: str, spec: ReplicaSpec, listener: socket.socket | None
    ) -> ReplicaClient:
        assert self.handle is not None
        connecting = asyncio.ensure_future(
            connect(
                address,
                token=spec.token,
                timeout_s=self.place.ready_s,
                on_lost=self._hear_loss,
            )
        )
        ended = asyncio.ensure_future(self.place.launcher.wait(self.handle))
        try:
            await asyncio.wait({connecting, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not connecting.done() and listener:
                # It died before it accepted: closing the last descriptor ends the wait in the backlog.
                listener.close()
                await asyncio.wait({connecting}, timeout=1.0)
            if connecting.done() and not isinstance(connecting.exception(), ReplicaLost):
                return connecting.result()
            with suppress(TimeoutError):
                raise await self._died(await asyncio.wait_for(ended, 5.0))
            return connecting.result()
        finally:
            for task in (connecting, ended):
                task.cancel()
            await asyncio.gather(connecting, ended, return_exceptions=True)

    async def _died(self, code: int) -> LaunchFailed:
        words = await self.last_words()
        return LaunchFailed(
            f"Replica {self.name!r} ended with {exit_text(code)} before its model was ready{self._why()}.",
            hint="Its last words are in details.log." if words else "It wrote nothing before it ended.",
            details={"log": words, "exit_code": code},
        )


async def settled(client: ReplicaClient, grace_s: float) -> float:
    """Wait until nothing is in flight, at most ``grace_s``; return what is left of that.

    A replica that is told to end might overlook what has not been read yet.
    """
    if not client.in_flight:
        return grace_s
    ends = time.monotonic() + grace_s
    # Nothing sets an event for it: an event would cost every prediction, and this is rare.
    while client.in_flight and not client.lost and time.monotonic() < ends:  # noqa: ASYNC110
        await asyncio.sleep(LOOK_S)
    return max(0.0, ends - time.monotonic())
