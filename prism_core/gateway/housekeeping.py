"""What is done beside the requests: measure, unload, fit replicas to the load, foresee.

One task with a slow tick. What it costs is bounded: a look at a version that nobody uses is a
comparison, and only so many replicas are measured at a time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import structlog

from prism_core.gateway import pattern
from prism_core.gateway.crew import Crew
from prism_core.gateway.diary import Diary
from prism_core.gateway.gauge import Gauge
from prism_core.gateway.loads import Loads
from prism_core.gateway.memory import to_unload
from prism_core.gateway.observe import Metrics
from prism_core.gateway.records import Records
from prism_core.gateway.registry import Registry
from prism_core.gateway.replica import Replica
from prism_core.gateway.supervisor import Supervisor
from prism_core.gateway.traffic.warmth import Warmth
from prism_core.settings import MemorySettings

# Between two looks where nothing is due earlier.
TICK_S = 10.0
# Between two looks at a version whose number of replicas may change.
SCALE_S = 1.0
# A look costs about a microsecond a version; several loads in this time get one.
GATHER_S = 0.1
# A version that is used is measured so often, 1 ms a replica; and so many at one look.
MEASURE_S = 30.0
MEASURED_AT_ONCE = 16

log = structlog.get_logger("prism.housekeeping")


class Housekeeper:
    """Looks after all crews of a supervisor. Made by `open_housekeeper`."""

    def __init__(
        self,
        supervisor: Supervisor,
        registry: Registry,
        loads: Loads,
        metrics: Metrics,
        records: Records,
        memory: MemorySettings,
        warmth: Warmth,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._supervisor = supervisor
        self._registry = registry
        self._loads = loads
        self._metrics = metrics
        self._memory = memory
        self._warmth = warmth
        self._clock = clock
        self._diary = Diary(registry, records, clock)
        self._foreseen: pattern.Slot | None = None
        self._gauges: dict[Crew, Gauge] = {}
        self._unmeasured = False

    async def run(self) -> None:
        """Look, again and again, until cancelled."""
        while True:
            with suppress(TimeoutError):
                # Not `wait_for`: in Python 3.11 it loses a cancel that comes together with the event.
                async with asyncio.timeout(self.pause_s()):
                    await self._loads.changed.wait()
                await asyncio.sleep(GATHER_S)
            self._loads.changed.clear()
            try:
                await self.look()
            except Exception:  # one fault must not end the watch
                log.exception("housekeeping.failed")

    async def look(self) -> None:
        """Do what is due."""
        self._metrics.flush()  # so that it is known to a tick when a version was asked the last time
        await self._supervisor.look_elsewhere()
        now = self._clock()
        for crew in self._crews():
            calls = crew.look(now)
            if calls:
                self._diary.note(crew.manifest.model, calls, now)
        await self._measure()
        await self._loads.unload([crew for crew in self._crews() if self._left_s(crew, now) <= 0], "idle")
        await self._cool([crew for crew in self._crews() if 0 < crew.use.warm_until <= now])
        await self._keep_below_soft_limit()
        self._scale()
        if self._memory.predictive_preload:
            await self._foresee(now)
        await self._diary.write_if_due()

    async def close(self) -> None:
        """Write down what was used."""
        for crew in self._crews():
            calls = crew.look(self._clock())
            if calls:
                self._diary.note(crew.manifest.model, calls, self._clock())
        await self._diary.write()

    def pause_s(self) -> float:
        """Return how long nothing is due."""
        now = self._clock()
        pause_s = SCALE_S if self._unmeasured or any(map(_elastic, self._crews())) else TICK_S
        due = min((self._left_s(crew, now) for crew in self._crews()), default=pause_s)
        return min(pause_s, max(GATHER_S, due))

    def _crews(self) -> list[Crew]:
        return [crew for crew in self._supervisor.crews.values() if crew.replicas]

    # --- memory ----------------------------------------------------------------------

    async def _measure(self) -> None:
        due = [crew for crew in self._crews() if any(_due(one, crew) for one in crew.ready)]
        self._unmeasured = len(due) > MEASURED_AT_ONCE
        for crew in due[:MEASURED_AT_ONCE]:
            await crew.measure()

    def _left_s(self, crew: Crew, now: float) -> float:
        """Return in how many seconds a version is to be unloaded, if nobody asks it before."""
        if crew.use.warm_until:
            # It is looked at again then; one that is busy at that moment, a little later.
            left_s = crew.use.warm_until - now
            return left_s if left_s > 0 else SCALE_S
        limit_s = crew.manifest.idle_limit_s(self._memory.idle_unload_s)
        if not limit_s or crew.busy or not crew.ready:
            return TICK_S
        return limit_s - crew.use.idle_s(now, crew.loaded_at)

    async def _cool(self, crews: list[Crew]) -> None:
        """Unload versions that were kept loaded long enough, but those that something leads to."""
        led = [crew for crew in crews if self._warmth.is_led_to(crew.manifest.model, crew.manifest.version)]
        going = [crew for crew in crews if crew not in led and not crew.manifest.pin]
        await self._loads.unload(going, "warm")
        for crew in crews:
            if crew not in going or not crew.replicas:
                await self._warmth.end(crew.manifest.model, crew.manifest.version)

    async def _keep_below_soft_limit(self) -> None:
        if not self._memory.soft_limit:
            return
        held = self._loads.holdings()
        over = sum(holding.size_bytes for holding, _ in held) - self._memory.soft_limit
        going = {holding.name for holding in to_unload([holding for holding, _ in held], over)}
        await self._loads.unload([crew for holding, crew in held if holding.name in going], "memory")

    # --- replicas --------------------------------------------------------------------

    def _scale(self) -> None:
        crews = [crew for crew in self._crews() if _elastic(crew) and crew.lane and not crew.changing]
        self._gauges = {crew: self._gauges.get(crew) or Gauge(self._metrics) for crew in crews}
        if crews:
            self._metrics.flush()
        for crew, gauge in self._gauges.items():
            self._loads.resize(crew, gauge.target(crew, self._loads))

    # --- foresight -------------------------------------------------------------------

    async def _foresee(self, now: float) -> None:
        slot = pattern.coming(now)
        if slot is None or slot == self._foreseen:
            return
        self._foreseen = slot
        for model in sorted(pattern.expected(await self._diary.used_in(slot.hour), slot.week)):
            found = self._registry.models.get(model)
            latest = found.latest if found else None
            crew = latest and self._supervisor.crews.get((model, latest.manifest.version))
            if crew and not crew.replicas and self._loads.affordable(crew.manifest, crew.use) > 0:
                await self._loads.preload(crew)


def _elastic(crew: Crew) -> bool:
    return crew.manifest.most > crew.manifest.fewest


def _due(replica: Replica, crew: Crew) -> bool:
    if replica.usage is None:
        return True
    passed_s = time.monotonic() - replica.measured
    return passed_s >= MEASURE_S and crew.use.last > time.time() - passed_s


@asynccontextmanager
async def open_housekeeper(housekeeper: Housekeeper) -> AsyncIterator[None]:
    """Run a `Housekeeper`; what was used is written down at the end."""
    task = asyncio.create_task(housekeeper.run(), name="housekeeping")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        try:
            await housekeeper.close()
        except Exception:  # a full disk, for instance; the server ends all the same
            log.exception("housekeeping.not_written")
