"""The replicas of one version: start them together, put them into its lane, replace each that is lost.

A loss is heard from the replica's connection; nothing polls.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import attrs
import structlog

from prism_core import wire
from prism_core.errors import IllegalTransition, LaunchFailed, PrismError, ReplicaLost
from prism_core.gateway.client import ReplicaClient, connect
from prism_core.gateway.lane import Lane
from prism_core.gateway.lifecycle import State
from prism_core.manifest import Manifest
from prism_core.protocols import Launcher, ReplicaHandle, ReplicaSpec, Usage

# Lines of a replica's log that an error carries.
LAST_WORDS = 12

log = structlog.get_logger("prism.supervisor")


@attrs.frozen
class RestartPolicy:
    """When a lost replica is started again. Pure.

    The first death is answered at once; each further one that comes quickly after a start
    doubles the wait. A replica that lived for ``settled_s`` has a clean record.
    """

    first_s: float = 0.1
    longest_s: float = 30.0
    settled_s: float = 10.0
    quick_deaths: int = 8

    def deaths(self, before: int, lived_s: float) -> int:
        """Return the deaths in a row, this one included."""
        return 1 if lived_s >= self.settled_s else before + 1

    def delay_s(self, deaths: int, chance: float) -> float | None:
        """Return how long to wait after ``deaths`` in a row, None to give up.

        ``chance`` in [0, 1) spreads the wait by half of itself, so that replicas that died
        together do not start together.
        """
        if deaths > self.quick_deaths:
            return None
        if deaths <= 1:
            return 0.0
        return min(self.longest_s, self.first_s * 2.0 ** (deaths - 2)) * (0.5 + chance)


@attrs.define(eq=False)
class Replica:
    """One replica as the gateway sees it.

    ``reason`` is why it is being ended now, ``last_loss`` why it was last replaced.
    """

    name: str
    directory: Path
    state: State = State.STARTING
    handle: ReplicaHandle | None = None
    socket: Path | None = None
    client: ReplicaClient | None = None
    restarts: int = 0
    started: float = 0.0
    reason: str = ""
    last_loss: str = ""
    pinging: bool = False
    lost: asyncio.Event = attrs.field(factory=asyncio.Event)


class Watcher(Protocol):
    """Who hears what happens to replicas."""

    def lost(self, manifest: Manifest, replica: str, reason: str) -> None:
        """Hear that a replica ended that should not have."""

    def restarted(self, manifest: Manifest, replica: str, restarts: int) -> None:
        """Hear that a lost replica serves again."""

    def failed(self, manifest: Manifest, error: PrismError) -> None:
        """Hear that no replica of the version can be kept alive."""


class Ledger(Protocol):
    """Where running processes are written down, for a gateway that comes after a crash."""

    async def replica_started(self, handle: ReplicaHandle) -> None:
        """Remember a process."""

    async def replica_gone(self, replica: str) -> None:
        """Forget it."""

    async def replicas(self) -> list[ReplicaHandle]:
        """Return those that were not forgotten."""


@attrs.frozen
class Place:
    """Where and how replicas of a version are started: everything about it that is not its own."""

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


class Crew:
    """The replicas of one version."""

    def __init__(
        self,
        manifest: Manifest,
        place: Place,
        ledger: Ledger,
        watcher: Watcher,
        policy: RestartPolicy,
    ) -> None:
        self.manifest = manifest
        self.place = place
        self.replicas = [self._replica(index) for index in range(max(1, manifest.replicas))]
        self._ledger = ledger
        self._watcher = watcher
        self._policy = policy
        self._lane: Lane | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._starts: asyncio.Future[list[BaseException | None]] | None = None
        self._broken_off = False

    def _replica(self, index: int) -> Replica:
        name = f"{self.manifest.model}-{self.manifest.version}-{index}"
        return Replica(name, self.place.replicas / name)

    async def start(self) -> wire.Ready:
        """Start all replicas and wait until they are ready; return what the first one said.

        Raises
        ------
        PrismError
            Why one could not; then none is left running.
        """
        self._starts = asyncio.gather(*map(self._bring_up, self.replicas), return_exceptions=True)
        try:
            for outcome in await self._starts:
                if isinstance(outcome, BaseException):
                    raise outcome
        except PrismError as error:
            # `gather` keeps the order, so the error is the first replica's that failed.
            error.details.setdefault("log", await self.last_words(self.replicas[0]))
            await self.stop(0)
            raise
        except BaseException:
            await asyncio.shield(self.stop(0))
            if self._broken_off:
                raise self._told_to_stop() from None
            raise
        client = self.replicas[0].client
        assert client is not None
        return client.ready

    def break_off(self) -> None:
        """End a start that is under way; `start` raises then."""
        if self._starts and not self._starts.done():
            self._broken_off = True
            self._starts.cancel()

    def _told_to_stop(self) -> IllegalTransition:
        return IllegalTransition(
            f"Version {self.manifest.version} of {self.manifest.model!r} was told to stop while it started."
        )

    def serve(self, lane: Lane) -> None:
        """Put the started replicas into ``lane``, and from now on replace those that are lost."""
        self._lane = lane
        for replica in self.replicas:
            self._enlist(replica)
            self._tasks.append(asyncio.create_task(self._keep(replica), name=f"keep {replica.name}"))

    async def stop(self, grace_s: float) -> None:
        """End all replicas; they get ``grace_s`` to answer what they have."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        await asyncio.gather(*(self._end(replica, grace_s) for replica in self.replicas))
        for replica in self.replicas:
            replica.state = State.STOPPED

    async def kill(self, replica: Replica, reason: str) -> None:
        """End a replica that misbehaves; it is replaced like one that died."""
        replica.reason = reason
        if replica.handle:
            await self.place.launcher.stop(replica.handle, 0)

    async def usage(self, replica: Replica) -> Usage | None:
        """Measure a replica; None while it is not running."""
        return await self.place.launcher.usage(replica.handle) if replica.handle else None

    # --- one replica ---------------------------------------------------------------

    async def _bring_up(self, replica: Replica) -> None:
        replica.state, replica.reason = State.STARTING, ""
        replica.lost.clear()
        spec = self._spec(replica)
        listener, address = self._listen(replica) if self.place.transport == "unix" else (None, "")
        try:
            replica.handle = await self.place.launcher.start(spec, listener)
            replica.started = time.time()
            await self._ledger.replica_started(replica.handle)
            replica.client = await self._connect(replica, address or replica.handle.address, spec, listener)
        except OSError as error:
            await asyncio.shield(self._end(replica, 0))
            raise LaunchFailed(f"Replica {replica.name!r} could not be started: {error.strerror}.") from error
        except BaseException:
            await asyncio.shield(self._end(replica, 0))
            raise
        finally:
            if listener:
                # The replica has its own descriptor; with ours open, its death would go unheard.
                # The path stays: `curl --unix-socket` speaks to a replica as long as it lives.
                listener.close()
        replica.state = State.READY

    def _spec(self, replica: Replica) -> ReplicaSpec:
        replica.directory.mkdir(parents=True, exist_ok=True)
        manifest = replica.directory / "manifest.json"
        manifest.write_bytes(self.manifest.to_json())
        place = self.place
        return ReplicaSpec(
            replica=replica.name,
            manifest=manifest,
            artifact=place.artifact,
            directory=replica.directory,
            plugins=place.plugins,
            warm=place.warm,
            environment=self.manifest.environment,
            python=place.python,
            threads=self.manifest.threads,
            memory_limit_bytes=self.manifest.memory_limit_bytes,
            token="" if place.transport == "unix" else secrets.token_hex(16),
        )

    def _listen(self, replica: Replica) -> tuple[socket.socket, str]:
        # Short random names: a Unix socket's path ends at 107 bytes, a model's name need not.
        path = replica.socket = self.place.run / f"{secrets.token_hex(6)}.sock"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen(128)
        return listener, f"unix:{path}"

    async def _connect(
        self, replica: Replica, address: str, spec: ReplicaSpec, listener: socket.socket | None
    ) -> ReplicaClient:
        assert replica.handle is not None
        connecting = asyncio.ensure_future(
            connect(
                address,
                token=spec.token,
                timeout_s=self.place.ready_s,
                on_lost=lambda _: replica.lost.set(),
            )
        )
        ended = asyncio.ensure_future(self.place.launcher.wait(replica.handle))
        try:
            await asyncio.wait({connecting, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not connecting.done() and listener:
                # It died before it accepted: closing the last descriptor ends the wait in the backlog.
                listener.close()
                await asyncio.wait({connecting}, timeout=1.0)
            if connecting.done() and not isinstance(connecting.exception(), ReplicaLost):
                return connecting.result()
            with suppress(TimeoutError):
                raise await self._died(replica, await asyncio.wait_for(ended, 5.0))
            return connecting.result()
        finally:
            for task in (connecting, ended):
                task.cancel()
            await asyncio.gather(connecting, ended, return_exceptions=True)

    async def _died(self, replica: Replica, code: int) -> LaunchFailed:
        words = await self.last_words(replica)
        return LaunchFailed(
            f"Replica {replica.name!r} ended with {exit_text(code)} before its model was ready.",
            hint="Its last words are in details.log." if words else "It wrote nothing before it ended.",
            details={"log": words, "exit_code": code},
        )

    async def last_words(self, replica: Replica) -> list[str]:
        """Return the end of a replica's log."""
        words: list[str] = []
        with suppress(Exception):  # a log that cannot be read must not hide why it is wanted
            lines = self.place.launcher.logs(replica.directory, LAST_WORDS, False)
            words = [line.rstrip("\n") async for line in lines]
        return words

    async def _end(self, replica: Replica, grace_s: float) -> None:
        handle, client = replica.handle, replica.client
        replica.handle = replica.client = None
        if replica.socket:
            replica.socket.unlink(missing_ok=True)
            replica.socket = None
        if client:
            if self._lane:
                self._lane.remove(client)
            if grace_s:
                client.drain()
        if handle:
            await self.place.launcher.stop(handle, grace_s)
            await self._ledger.replica_gone(replica.name)
        if client:
            await client.close()

    def _enlist(self, replica: Replica) -> None:
        if self._lane and replica.client and not replica.lost.is_set():
            self._lane.add(replica.client)

    async def _keep(self, replica: Replica) -> None:
        try:
            await self._replace_when_lost(replica)
        except Exception:  # a backend broke its promise; without a keeper the replica is given up
            log.exception("replica.keeper_failed", replica=replica.name)
            self._give_up(replica, 1, "its isolation backend failed")

    async def _replace_when_lost(self, replica: Replica) -> None:
        deaths, ready_at = 0, time.monotonic()
        while True:
            await replica.lost.wait()
            deaths = self._policy.deaths(deaths, time.monotonic() - ready_at)
            await self._bury(replica)
            if not await self._revive(replica, deaths):
                return
            replica.restarts += 1
            ready_at = time.monotonic()
            self._enlist(replica)
            self._watcher.restarted(self.manifest, replica.name, replica.restarts)

    async def _bury(self, replica: Replica) -> None:
        replica.state = State.STARTING
        code = await self._exit_code(replica)
        reason = replica.reason or f"it ended with {exit_text(code)}"
        await self._end(replica, 0)
        self._watcher.lost(self.manifest, replica.name, reason)
        replica.reason = replica.last_loss = reason

    async def _exit_code(self, replica: Replica) -> int:
        if replica.handle:
            # Its connection closed a moment before it ended, or it closed it and lives on.
            with suppress(TimeoutError):
                return await asyncio.wait_for(self.place.launcher.wait(replica.handle), 1.0)
        return -1

    async def _revive(self, replica: Replica, deaths: int) -> bool:
        reason = replica.reason
        while (delay_s := self._policy.delay_s(deaths, random.random())) is not None:
            await asyncio.sleep(delay_s)
            try:
                await self._bring_up(replica)
            except PrismError as error:
                deaths, reason = deaths + 1, error.message
                log.warning("replica.start_failed", replica=replica.name, deaths=deaths, error=error.message)
            else:
                return True
        self._give_up(replica, deaths, reason)
        return False

    def _give_up(self, replica: Replica, deaths: int, reason: str) -> None:
        replica.state, replica.reason = State.FAILED, reason
        if all(one.state is State.FAILED for one in self.replicas):
            error = LaunchFailed(
                f"{self.manifest.model!r} version {self.manifest.version} died {deaths} times in a row; "
                f"the last time: {reason}",
                hint="`prism logs` shows its last words; `prism start` tries again.",
            )
            self._watcher.failed(self.manifest, error)


def exit_text(code: int) -> str:
    """Return an exit code in words: ``signal 9`` for -9."""
    return f"signal {-code}" if code < -1 else "an unknown exit code" if code == -1 else f"exit code {code}"
