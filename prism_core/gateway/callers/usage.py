"""What callers have used: noted beside the requests by the leading gateway, told to followers, written."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

import structlog

from prism_core.gateway.callers.tally import Tally
from prism_core.gateway.channel import CallerUses, Spent
from prism_core.gateway.followers import Followers
from prism_core.gateway.records import Records

# Followers hear of each other's quotas so often; what is not written yet is lost with a kill.
SHARE_S, WRITE_S = 1.0, 5.0

log = structlog.get_logger("prism.callers")


class Recognises(Protocol):
    """A table of keys or links, which notes those that are used."""

    def take_used(self) -> set[str]:
        """Return the names of those that were used since this was last asked."""

    def __contains__(self, name: str, /) -> bool:
        """Return whether there is one of this name."""


class Usage:
    """What callers have used. Made by `open_usage`.

    Attributes
    ----------
    tally
        What callers have used of their quotas.
    last_used
        When callers were last seen, in Unix seconds.
    """

    def __init__(
        self,
        records: Records,
        followers: Followers,
        last_used: dict[str, float],
        tally: Tally,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.tally = tally
        self.last_used = last_used
        self._records = records
        self._followers = followers
        self._tables: dict[str, Recognises] = {}
        self._unwritten: Counter[str] = Counter()
        self._noted: set[str] = set()
        self._heard: set[str] = set()
        self._written = clock()
        self._clock = clock
        followers.greetings.append(lambda: Spent(tally.totals()))
        followers.heard = self._hear

    def watch(self, kind: str, table: Recognises) -> None:
        """Note the use of what ``table`` recognises: callers whose ids are ``kind:NAME``."""
        self._tables[kind] = table

    def forget(self, caller: str) -> None:
        """Forget a caller that is no more."""
        self.tally.forget(caller)
        self._unwritten.pop(caller, None)
        self.last_used.pop(caller, None)

    async def run(self) -> None:
        """Share and write down what is used, again and again, until cancelled."""
        while True:
            await asyncio.sleep(SHARE_S if self._followers.members else WRITE_S)
            self.note()
            if self._clock() - self._written >= WRITE_S:
                await self.try_to_write()

    async def try_to_write(self) -> None:
        """Store what was used; where that fails, it is tried again: a full disk must stop nothing."""
        try:
            await self.write()
        except Exception:
            log.exception("callers.not_written")

    async def write(self) -> None:
        """Store what was used since this was last done."""
        self.note()
        spent, noted = dict(self._unwritten), set(self._noted)
        self._written = self._clock()
        if not (spent or noted):
            return
        callers = noted | spent.keys()
        await self._records.add_caller_uses(
            [(caller, self.last_used.get(caller, 0.0), spent.get(caller, 0)) for caller in callers]
        )
        self._unwritten.subtract(spent)
        self._unwritten += Counter()  # without those that are 0 now
        self._noted -= noted

    def note(self) -> None:
        """Take note of what was used since this was last done; tell the followers."""
        now, seen = self._clock(), self._heard
        self._heard = set()
        for kind, table in self._tables.items():
            seen.update(f"{kind}:{name}" for name in table.take_used())
        for caller in filter(self._is_there, seen):
            self.last_used[caller] = now
            self._noted.add(caller)
        spent = self.tally.take()
        self._unwritten.update(spent)
        if spent:
            self._followers.tell(Spent(self.tally.totals(spent)))

    def _hear(self, uses: CallerUses) -> None:
        self._heard.update(uses.callers)
        for caller, count in uses.spent.items():
            if self._is_there(caller):
                self.tally.spend(caller, count)

    def _is_there(self, caller: str) -> bool:
        """Return whether a caller is not one whose key or link was revoked meanwhile."""
        kind, _, name = caller.partition(":")
        table = self._tables.get(kind)
        return table is None or name in table


@asynccontextmanager
async def open_usage(records: Records, followers: Followers) -> AsyncIterator[Usage]:
    """Read what was used and keep it written down; at the end all of it is."""
    uses = await records.caller_uses()
    tally = Tally({caller: spent for caller, _, spent in uses})
    usage = Usage(records, followers, {caller: last for caller, last, _ in uses if last}, tally)
    task = asyncio.create_task(usage.run(), name="callers")
    try:
        yield usage
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await usage.try_to_write()
