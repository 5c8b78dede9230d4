"""All crews of a gateway: who is alive, who hangs, who uses too much, who was left over.

Losses are the crews' own business. Here is one slow tick, which asks replicas with calls
in flight for a sign of life and measures those that have a memory limit, and the end of
what a dead gateway has left.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil
import structlog

from prism_core.errors import PrismError
from prism_core.gateway.client import ReplicaClient
from prism_core.gateway.crew import Crew, Watcher
from prism_core.gateway.replica import Ledger, Place, Replica
from prism_core.gateway.restarts import RestartPolicy
from prism_core.gateway.use import Use
from prism_core.manifest import Manifest
from prism_core.protocols import Launcher

# How often replicas with calls in flight are asked for a sign of life: the runtime answers
# while the model computes, unless C code holds the lock.
TICK_S = 10.0
# How often a replica with a memory limit is measured; 1 ms each.
MEASURE_S = 2.0

log = structlog.get_logger("prism.supervisor")


class Supervisor:
    """All crews of a gateway. Made by `open_supervisor`; at its end they get ``drain_s`` to answer.

    A replica that gives no sign of life for ``hang_s`` is replaced.
    """

    def __init__(
        self,
        ledger: Ledger,
        watcher: Watcher,
        policy: RestartPolicy,
        drain_s: float = 0.0,
        hang_s: float = 30.0,
    ) -> None:
        self.drain_s = drain_s
        self.hang_s = hang_s
        self.crews: dict[tuple[str, int], Crew] = {}
        self._ledger = ledger
        self._watcher = watcher
        self._policy = policy
        self._looking: set[asyncio.Task[None]] = set()
        self._limited = asyncio.Event()

    def enlist(self, manifest: Manifest, place: Place, use: Use) -> Crew:
        """Return the crew of a version, still without replicas."""
        crew = Crew(manifest, place, self._ledger, self._watcher, self._policy, use=use)
        self.crews[manifest.model, manifest.version] = crew
        if manifest.memory_limit_bytes and self._with_limit() == [crew]:
            self._limited.set()
        return crew

    def discharge(self, crew: Crew) -> None:
        """Forget a crew that could not be started."""
        if self.crews.get((crew.manifest.model, crew.manifest.version)) is crew:
            del self.crews[crew.manifest.model, crew.manifest.version]

    async def stop(self, model: str, version: int, grace_s: float) -> None:
        """End the replicas of a version, if it has any."""
        crew = self.crews.pop((model, version), None)
        if crew:
            await crew.stop(grace_s)

    def break_off(self, model: str, version: int) -> None:
        """End the start of a version, if it is being started."""
        crew = self.crews.get((model, version))
        if crew:
            crew.break_off()

    async def stop_all(self, grace_s: float) -> None:
        """End all replicas."""
        await asyncio.gather(*(self.stop(*key, grace_s) for key in tuple(self.crews)))

    def ready(self) -> Iterator[tuple[str, int, int]]:
        """Yield model, version and the number of its ready replicas."""
        for (model, version), crew in self.crews.items():
            yield model, version, len(crew.ready)

    async def end_leftovers(self, launcher: Callable[[str], Awaitable[Launcher]]) -> None:
        """End the processes of a gateway that did not live to do it, by pid and start time.

        ``launcher`` returns the open isolation backend of a name; it is told too: what it started may be
        more than a process, or one that we may not signal.
        """
        for handle in await self._ledger.replicas():
            if handle.pid:
                await asyncio.to_thread(end_process, handle.pid, handle.started)
            try:
                await (await launcher(handle.backend)).stop(handle, 0)
            except PrismError as error:
                log.warning("replica.leftover_kept", replica=handle.replica, error=error.message)
            await self._ledger.replica_gone(handle.replica)
            log.info("replica.leftover_ended", replica=handle.replica, pid=handle.pid)

    async def run(self) -> None:
        """Look after the replicas, slowly, until cancelled."""
        next_ping = 0.0
        while True:
            self._limited.clear()
            with suppress(TimeoutError):  # the first crew with a limit ends a long sleep
                tick_s = min(MEASURE_S if self._with_limit() else TICK_S, self.hang_s)
                # Not `wait_for`: in Python 3.11 it loses a cancel that comes together with the event.
                async with asyncio.timeout(tick_s):
                    await self._limited.wait()
            for crew in self._with_limit():
                try:
                    await self._check_memory(crew)
                except Exception:  # one backend's fault must not end the watch over all
                    log.exception("replica.not_measured", model=crew.manifest.model)
            if time.monotonic() >= next_ping:
                next_ping = time.monotonic() + min(TICK_S, self.hang_s)
                await self.look_elsewhere()
                self._ping_busy()

    async def look_elsewhere(self) -> None:
        """Learn what the crews do for other gateways."""
        in_flight = await self._watcher.elsewhere()
        for key, crew in self.crews.items():
            crew.elsewhere = in_flight.get(key, 0)

    def used_elsewhere(self, model: str, version: int) -> None:
        """Take note of a call that another gateway has made."""
        if crew := self.crews.get((model, version)):
            crew.used_elsewhere()

    def _with_limit(self) -> list[Crew]:
        return [crew for crew in self.crews.values() if crew.manifest.memory_limit_bytes]

    def _ping_busy(self) -> None:
        for crew in self.crews.values():
            for replica in tuple(crew.replicas):
                busy = replica.client and (replica.client.in_flight or crew.elsewhere)
                if replica.client and busy and not replica.pinging:
                    task = asyncio.create_task(self._ping(replica, replica.client))
                    self._looking.add(task)
                    task.add_done_callback(self._looking.discard)

    async def _ping(self, replica: Replica, client: ReplicaClient) -> None:
        replica.pinging = True
        try:
            await client.ping(self.hang_s)
        except TimeoutError:
            if replica.client is client:  # it may have been replaced meanwhile
                await replica.kill(f"it gave no sign of life for {self.hang_s:g} s")
        except PrismError:
            pass  # it is gone, which is heard elsewhere
        finally:
            replica.pinging = False

    async def _check_memory(self, crew: Crew) -> None:
        limit = crew.manifest.memory_limit_bytes
        for replica in tuple(crew.replicas):
            usage = await replica.measure()
            if usage and usage.memory_bytes > limit:
                await replica.kill(f"it used {usage.memory_bytes} bytes of memory, its limit is {limit}")


@asynccontextmanager
async def open_supervisor(
    ledger: Ledger, watcher: Watcher, *, policy: RestartPolicy | None = None, drain_s: float, hang_s: float
) -> AsyncIterator[Supervisor]:
    """Run a `Supervisor`; all replicas end with it."""
    supervisor = Supervisor(ledger, watcher, policy or RestartPolicy(), drain_s, hang_s)
    task = asyncio.create_task(supervisor.run())
    try:
        yield supervisor
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await supervisor.stop_all(supervisor.drain_s)


def end_process(pid: int, started: float) -> bool:
    """Kill the process and its children if it is the one that began at ``started``; return whether it was."""
    try:
        process = psutil.Process(pid)
        # Start times are counted in ticks of 10 ms; a pid is not reused within one second.
        if abs(process.create_time() - started) > 1.0:
            return False
        for child in [*process.children(recursive=True), process]:
            with suppress(psutil.NoSuchProcess):
                child.kill()
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:  # of a container: another user's, outside
        return False
    psutil.wait_procs([process], timeout=5)
    return True


def remove_directories(root: Path, models: Iterable[tuple[str, int]]) -> None:
    """Remove the replica directories under ``root`` but those of the given versions."""
    kept = tuple(f"{model}-{version}-" for model, version in models)
    for directory in root.iterdir() if root.is_dir() else ():
        stem, _, index = directory.name.rpartition("-")
        if not (index.isdecimal() and f"{stem}-" in kept):
            shutil.rmtree(directory, ignore_errors=True)
