"""Which calls are being answered, so that a server which stops waits for them, and for nothing else."""

from __future__ import annotations

import asyncio
from typing import Any


class Flight:
    """The calls that have begun and not ended.

    Attributes
    ----------
    stopping
        Set when nothing more is accepted: streams that wait for requests end then.
    """

    def __init__(self) -> None:
        self.stopping = asyncio.Event()
        self._calls = 0
        self._landed = asyncio.Event()

    def begin(self, context: Any) -> None:
        """Take note of a call; it ends when its answer has been sent, or its client has gone."""
        self._calls += 1
        context.add_done_callback(self._end)

    def _end(self, context: Any) -> None:
        self._calls -= 1
        if self.stopping.is_set() and not self._calls:
            self._landed.set()

    async def landed(self) -> None:
        """Return when none is left; to be awaited once the server is ``stopping``."""
        if self._calls:
            await self._landed.wait()
