"""What was used when, on its way into the database: for the next start and for the coming weeks."""

from __future__ import annotations

from collections.abc import Callable

from prism_core.gateway import pattern
from prism_core.gateway.records import Records
from prism_core.gateway.registry import Registry

# How often it is written down what was used.
WRITE_S = 300.0


class Diary:
    """What was used when, on its way into the database."""

    def __init__(self, registry: Registry, records: Records, clock: Callable[[], float]) -> None:
        self._registry = registry
        self._records = records
        self._clock = clock
        self._calls: dict[tuple[str, pattern.Slot], int] = {}
        self._written = clock()

    def note(self, model: str, calls: int, now: float) -> None:
        """Take note of calls."""
        key = (model, pattern.slot_at(now))
        self._calls[key] = self._calls.get(key, 0) + calls

    async def write_if_due(self) -> None:
        """Write down what there is, if that was not done lately."""
        if self._calls and self._clock() - self._written >= WRITE_S:
            await self.write()

    async def write(self) -> None:
        """Write down what there is."""
        self._written = self._clock()
        calls, self._calls = self._calls, {}
        uses = {(v.manifest.model, v.manifest.version): v.use for v in self._registry.versions()}
        await self._records.save_uses(uses)
        habits = [(model, slot.hour, slot.week, count) for (model, slot), count in calls.items()]
        if habits:
            oldest = pattern.slot_at(self._clock()).week - pattern.KEPT_WEEKS
            await self._records.add_habits(habits, oldest)

    async def used_in(self, hour: int) -> list[tuple[str, int]]:
        """Return model and week of each use in an hour of the week."""
        await self.write()
        return await self._records.habits(hour)
