"""Which versions are loaded: wake one that is asked for, unload one that is not, make room.

A version that is ready need not be loaded: its lane holds the call that finds no replica
and wakes it here. Memory is counted as measured; what is being loaded is reserved as it is
expected to be.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any

import structlog

from prism_core import wire
from prism_core.errors import DeployError, IllegalTransition, InsufficientMemory, ModelLoadFailed, PrismError
from prism_core.gateway.crew import Crew
from prism_core.gateway.memory import Holding, insufficient, needed_bytes, to_unload
from prism_core.gateway.registry import Registry
from prism_core.gateway.supervisor import Supervisor
from prism_core.gateway.use import Use
from prism_core.manifest import Manifest
from prism_core.settings import Settings

# How often it is looked whether a busy version could go, while a load waits for that.
LOOK_S = 0.01
# A load that failed for a reason that may pass is tried again once.
ATTEMPTS = 2
# More replicas than anybody starts.
BOUNDLESS = 1 << 20

log = structlog.get_logger("prism.loads")


class Loads:
    """Loads and unloads the crews of a supervisor, within ``memory.hard_limit``.

    Attributes
    ----------
    changed
        Set when a version was loaded.
    limit_bytes
        The lower of both limits, 0 for none: what is loaded without need stays below it.
    """

    def __init__(self, supervisor: Supervisor, registry: Registry, settings: Settings) -> None:
        self.changed = asyncio.Event()
        limits = (settings.memory.soft_limit, settings.memory.hard_limit)
        self.limit_bytes = min((limit for limit in limits if limit), default=0)
        self._supervisor = supervisor
        self._registry = registry
        self._hard_limit = settings.memory.hard_limit
        self._hold_s = settings.limits.hold_s
        self._drain_s = settings.limits.drain_s
        self._reserved = 0
        self._making_room = asyncio.Lock()
        self._loading: dict[Crew, asyncio.Task[None]] = {}
        self._unloading: dict[Crew, asyncio.Task[None]] = {}

    # --- load ------------------------------------------------------------------------

    def wake(self, crew: Crew) -> None:
        """Load a version that a call waits for: once, however many wait."""
        if not crew.replicas:
            self._spawn(crew, self._wake(crew))

    async def preload(self, crew: Crew) -> None:
        """Load a version before a call asks for it; one that cannot be is left for the call to find out."""
        try:
            await self.fill(crew)
        except PrismError as error:
            log.warning("model.not_preloaded", model=crew.name, error=error.message)

    def resize(self, crew: Crew, count: int) -> None:
        """Bring a loaded version to ``count`` replicas, in the background."""
        if crew.ready and count != len(crew.replicas):
            self._spawn(crew, self._resize(crew, count))

    async def fill(self, crew: Crew, attempts: int = 1) -> wire.Ready:
        """Start the replicas of a version, if there is memory for them.

        Raises
        ------
        PrismError
            `InsufficientMemory`, or why the last attempt failed.
        """
        fewest = crew.manifest.fewest
        async with self.room(crew, fewest):
            while True:
                attempts -= 1
                try:
                    ready = await crew.start(fewest)
                except PrismError as error:
                    if not attempts or not worth_retrying(error):
                        raise
                else:
                    self.changed.set()
                    return ready

    async def close(self) -> None:
        """Break off what is being loaded, and wait for what is being unloaded."""
        for task in self._loading.values():
            task.cancel()
        tasks = (*self._loading.values(), *self._unloading.values())
        await asyncio.gather(*tasks, return_exceptions=True)

    def _spawn(self, crew: Crew, work: Coroutine[Any, Any, None]) -> None:
        if crew in self._loading:
            work.close()
        else:
            self._loading[crew] = asyncio.create_task(work, name=f"load {crew.name}")

    async def _wake(self, crew: Crew) -> None:
        begun, failure = time.monotonic(), None
        try:
            await self.fill(crew, ATTEMPTS)
        except PrismError as error:
            failure = error
        finally:
            # Before anybody is told: whoever asks again at once must be able to wake it again.
            del self._loading[crew]
        if failure:
            self._not_loaded(crew, failure)
        else:
            self._tell("model.loaded", crew, load_ms=round((time.monotonic() - begun) * 1000, 1))

    def _not_loaded(self, crew: Crew, error: PrismError) -> None:
        log.error("model.load_failed", model=crew.name, error=error.message)
        if isinstance(error, InsufficientMemory):
            if crew.lane:
                crew.lane.disappoint(error)
            crew.watcher.disappointed(crew.manifest, error)
        elif not isinstance(error, IllegalTransition):  # else it was stopped, and its lane is closed
            crew.watcher.failed(crew.manifest, error)

    async def _resize(self, crew: Crew, count: int) -> None:
        more = count - len(crew.replicas)
        try:
            if more > 0:
                async with self.room(crew, more):
                    await crew.start(count)
            else:
                await crew.shrink(count, self._drain_s)
        except PrismError as error:
            log.warning("model.not_scaled", model=crew.name, replicas=count, error=error.message)
        else:
            self._tell("model.scaled", crew, replicas=count)
        finally:
            del self._loading[crew]
            self.changed.set()

    # --- unload ----------------------------------------------------------------------

    async def unload(self, crews: Iterable[Crew], reason: str) -> None:
        """End the replicas of versions that have nothing to do; their next calls load them again."""
        await self._supervisor.look_elsewhere()
        await asyncio.gather(*self._begin_to_unload(crews, reason))

    def _begin_to_unload(self, crews: Iterable[Crew], reason: str) -> list[asyncio.Task[None]]:
        chosen = [crew for crew in crews if crew.replicas and not (crew.busy or self._moves(crew))]
        for crew in chosen:
            work = self._unload(crew, reason)
            self._unloading[crew] = asyncio.create_task(work, name=f"unload {crew.name}")
        return [self._unloading[crew] for crew in chosen]

    async def _unload(self, crew: Crew, reason: str) -> None:
        try:
            await crew.shrink(0, self._drain_s)
        finally:
            del self._unloading[crew]
        self._tell("model.unloaded", crew, reason=reason)

    def _moves(self, crew: Crew) -> bool:
        return crew.changing or crew in self._loading or crew in self._unloading

    def _tell(self, name: str, crew: Crew, **facts: object) -> None:
        self._registry.tell(name, crew.manifest.model, crew.manifest.version, **facts)

    # --- room ------------------------------------------------------------------------

    @asynccontextmanager
    async def room(self, crew: Crew, replicas: int) -> AsyncIterator[None]:
        """Reserve memory for ``replicas`` more of a version; unload what is worth less, if need be.

        Raises
        ------
        InsufficientMemory
            With what holds it, if nothing can go within ``limits.hold_s``.
        """
        need = needed_bytes(crew.manifest, crew.use.own_bytes, replicas)
        async with self._making_room:
            await self._make_room(crew.name, need)
            self._reserved += need
        try:
            if self._hard_limit and self._unloading:
                # Their memory is given away already, and theirs until they have ended.
                await asyncio.wait(tuple(self._unloading.values()))
            yield
        finally:
            self._reserved -= need

    def affordable(self, manifest: Manifest, use: Use) -> int:
        """Return how many more replicas of a version fit below both limits, without unloading anything."""
        if not self.limit_bytes:
            return BOUNDLESS
        return max(0, self.limit_bytes - self.used_bytes()) // max(
            1, needed_bytes(manifest, use.own_bytes, 1)
        )

    def used_bytes(self) -> int:
        """Return what all replicas hold, with what is reserved."""
        return self._reserved + sum(holding.size_bytes for holding, _ in self.holdings())

    def holdings(self) -> list[tuple[Holding, Crew]]:
        """Return what each loaded version holds now, but for those that are being unloaded."""
        now, crews = time.time(), self._supervisor.crews.values()
        return [
            (self._holding(crew, now), crew) for crew in crews if crew.ready and crew not in self._unloading
        ]

    def _holding(self, crew: Crew, now: float) -> Holding:
        crew.look(now)
        use = crew.use
        return Holding(
            crew.name,
            crew.own_bytes,
            use.idle_s(now, crew.loaded_at),
            use.frequency(now),
            use.load_s,
            crew.busy or self._moves(crew),
            crew.manifest.pin,
            use.warm_until > now,
        )

    async def _make_room(self, name: str, need: int) -> None:
        ends = time.monotonic() + self._hold_s
        while self._hard_limit:
            await self._supervisor.look_elsewhere()
            held = self.holdings()
            over = self._reserved + need + sum(holding.size_bytes for holding, _ in held) - self._hard_limit
            if over <= 0:
                return
            going = to_unload([holding for holding, _ in held], over)
            if sum(holding.size_bytes for holding in going) >= over:
                names = {holding.name for holding in going}
                self._begin_to_unload([crew for holding, crew in held if holding.name in names], "memory")
            elif self._may_pass(held, over) and time.monotonic() < ends:
                await asyncio.sleep(LOOK_S)  # what is busy now may go in a moment
            else:
                raise insufficient(name, need, self._hard_limit, [holding for holding, _ in held])

    def _may_pass(self, held: list[tuple[Holding, Crew]], over: int) -> bool:
        unpinned = sum(holding.size_bytes for holding, _ in held if not holding.pinned)
        return unpinned + self._reserved >= over


def worth_retrying(error: PrismError) -> bool:
    """Return whether a failed start is worth another attempt: not if it does not load or was told to stop."""
    return isinstance(error, DeployError) and not isinstance(error, ModelLoadFailed | IllegalTransition)
