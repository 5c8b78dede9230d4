"""Wrong admin tokens in the audit log: who guesses must not fill the disk.

The first of an address is written at once; those of the minute after it are one more entry.
"""

from __future__ import annotations

import asyncio

from prism_core.audit import Actor
from prism_core.gateway.auditing import Audit, act_as

TOGETHER_S = 60.0
# Addresses at a time that are told apart.
ADDRESSES = 100
OTHERS = "others"


class Refusals:
    """Counts refused requests by address.

    Parameters
    ----------
    audit
        Where they are written.
    """

    def __init__(self, audit: Audit) -> None:
        self._audit = audit
        self._held: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, address: str, request: str = "") -> None:
        """Take note of one."""
        if address not in self._held and len(self._held) >= ADDRESSES:
            address = OTHERS
        if address in self._held:
            self._held[address] += 1
            return
        self._held[address] = 0
        self._write(Actor("unknown", address=address, request=request), 1)
        asyncio.get_running_loop().call_later(TOGETHER_S, self._release, address)

    def _release(self, address: str) -> None:
        held = self._held.pop(address)
        if held:
            self._write(Actor("unknown", address=address), held)

    def _write(self, actor: Actor, requests: int) -> None:
        task = asyncio.create_task(self._note(actor, requests))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _note(self, actor: Actor, requests: int) -> None:
        act_as(actor)
        await self._audit.note("admin.refused", requests=requests)
