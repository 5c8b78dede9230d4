"""What a follower knows of callers: the keys and links that are valid, and what has been used of quotas."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from prism_core.gateway.callers import keys, link
from prism_core.gateway.callers.keys import KeyTable
from prism_core.gateway.callers.link_table import LinkTable
from prism_core.gateway.callers.tally import Tally
from prism_core.gateway.channel import CallerUses, Keys, Links, Spent

# The leader hears of uses so often.
REPORT_S = 1.0


class MirroredCallers:
    """The keys, links and totals of the leader. Nobody is known before the leader has told them."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.tally = Tally()
        self.table = KeyTable(clock=clock)
        self.links = LinkTable(uses=self.tally, clock=clock)
        self.refused: Counter[str] = Counter()

    def hear(self, command: Keys | Links | Spent) -> None:
        """Know what the leader says."""
        if isinstance(command, Keys):
            self.table.replace(command.keys)
        elif isinstance(command, Links):
            self.links.replace(command.links)
        else:
            self.tally.learn(command.totals)

    def uses(self) -> CallerUses | None:
        """Return what was used since this was last asked, None for nothing."""
        seen = [
            *map(keys.caller_id, sorted(self.table.take_used())),
            *map(link.caller_id, sorted(self.links.take_used())),
        ]
        spent, refused = self.tally.take(), dict(self.refused)
        self.refused.clear()
        return CallerUses(seen, spent, refused) if seen or spent or refused else None


@asynccontextmanager
async def reporting(callers: MirroredCallers, send: Callable[[CallerUses], None]) -> AsyncIterator[None]:
    """Report uses to the leader; at the end all of them."""

    def report() -> None:
        if uses := callers.uses():
            send(uses)

    async def run() -> None:
        while True:
            await asyncio.sleep(REPORT_S)
            report()

    task = asyncio.create_task(run())
    try:
        yield
    finally:
        task.cancel()
        report()
