"""The keys of a server, in its leading gateway: made, listed, revoked, and what was used of them.

A change is stored, then valid here, then in every follower, and only then reported done: a
key that was revoked opens nothing any more, on no connection. Use is noted beside the
requests, in batches.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import structlog

from prism_core.errors import KeyNotFound
from prism_core.gateway.auditing import Audit
from prism_core.gateway.callers.keys import Key, KeyTable, KeyWish, caller_id, new_key
from prism_core.gateway.callers.tally import Tally
from prism_core.gateway.channel import CallerUses, Keys, Spent
from prism_core.gateway.followers import Followers
from prism_core.gateway.records import Records

# Followers hear of each other's quotas so often; what is not written yet is lost with a kill.
SHARE_S, WRITE_S = 1.0, 5.0

log = structlog.get_logger("prism.keys")


class Keyring:
    """All keys, and what callers have used. Made by `open_keyring`.

    Attributes
    ----------
    table
        Recognises the holders of keys.
    tally
        What callers have used of their quotas.
    """

    def __init__(
        self,
        records: Records,
        followers: Followers,
        audit: Audit,
        keys: Iterable[Key],
        last_used: dict[str, float],
        tally: Tally,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.table = KeyTable(keys, clock)
        self.tally = tally
        self._records = records
        self._followers = followers
        self._audit = audit
        self._last_used = last_used
        self._unwritten: Counter[str] = Counter()
        self._noted: set[str] = set()
        self._written = clock()
        self._clock = clock
        followers.greeting = self._greeting
        followers.heard = self._hear

    # --- keys ------------------------------------------------------------------------

    async def create(self, wish: KeyWish) -> tuple[dict[str, Any], str]:
        """Make a key; return what `list` shows of it, and its text.

        Raises
        ------
        InvalidParameter
            If there cannot be such a key.
        """
        key, text = new_key(wish, self._clock(), self.table.keys)
        shown = self._shown(key)
        wanted = {name: shown[name] for name in ("name", "models", "scopes", "rate", "quota", "expires")}
        async with self._audit.acting("key.create", key.id, **wanted):
            await self._records.add_key(key)
            await self._now_valid([*self.table.keys.values(), key])
        return shown, text

    def list(self) -> list[dict[str, Any]]:
        """Return all keys as they are shown, the oldest first."""
        self._note()
        return [self._shown(key) for key in sorted(self.table.keys.values(), key=lambda key: key.created)]

    async def revoke(self, key_id: str) -> dict[str, Any]:
        """Let a key open nothing any more, anywhere; return what it was.

        Raises
        ------
        KeyNotFound
            If there is no such key.
        """
        key = self.table.keys.get(key_id)
        if key is None:
            raise KeyNotFound(f"There is no key {key_id!r}.", hint="`prism keys list` shows their ids.")
        shown = self._shown(key)
        async with self._audit.acting("key.revoke", key_id, name=key.name):
            await self._records.remove_key(key_id)
            await self._now_valid([one for one in self.table.keys.values() if one.id != key_id])
        self.tally.forget(caller_id(key_id))
        self._unwritten.pop(caller_id(key_id), None)
        self._last_used.pop(caller_id(key_id), None)
        return shown

    async def _now_valid(self, keys: Iterable[Key]) -> None:
        self.table.replace(keys)
        self._followers.tell(Keys(list(self.table.keys.values())))
        await self._followers.agree()

    def _shown(self, key: Key) -> dict[str, Any]:
        return {
            "id": key.id,
            "name": key.name,
            "scopes": key.scopes,
            "models": key.models,
            "rate": key.rate or None,
            "quota": key.quota or None,
            "used": self.tally.spent(caller_id(key.id)),
            "created": key.created,
            "expires": key.expires or None,
            "expired": bool(key.expires) and key.expires <= self._clock(),
            "last_used": self._last_used.get(caller_id(key.id)),
        }

    # --- use -------------------------------------------------------------------------

    async def run(self) -> None:
        """Share and write down what is used, again and again, until cancelled."""
        while True:
            await asyncio.sleep(SHARE_S if self._followers.members else WRITE_S)
            self._note()
            if self._clock() - self._written >= WRITE_S:
                await self.try_to_write()

    async def try_to_write(self) -> None:
        """Store what was used; where that fails, it is tried again: a full disk must stop nothing."""
        try:
            await self.write()
        except Exception:
            log.exception("keys.not_written")

    async def write(self) -> None:
        """Store what was used since this was last done."""
        self._note()
        spent, noted = dict(self._unwritten), set(self._noted)
        self._written = self._clock()
        if not (spent or noted):
            return
        callers = noted | spent.keys()
        await self._records.add_caller_uses(
            [(caller, self._last_used.get(caller, 0.0), spent.get(caller, 0)) for caller in callers]
        )
        self._unwritten.subtract(spent)
        self._unwritten += Counter()  # without those that are 0 now
        self._noted -= noted

    def _note(self) -> None:
        """Take note of what was used since this was last done; tell the followers."""
        now = self._clock()
        for key_id in self.table.take_used():
            if key_id in self.table.keys:
                self._last_used[caller_id(key_id)] = now
                self._noted.add(caller_id(key_id))
        spent = self.tally.take()
        self._unwritten.update(spent)
        if spent:
            self._followers.tell(Spent(self.tally.totals(spent)))

    def _hear(self, uses: CallerUses) -> None:
        self.table.used.update(uses.keys)
        for caller, count in uses.spent.items():
            if self._is_there(caller):
                self.tally.spend(caller, count)

    def _is_there(self, caller: str) -> bool:
        """Return whether a caller is not one whose key was revoked meanwhile."""
        kind, _, name = caller.partition(":")
        return kind != "key" or name in self.table.keys

    def _greeting(self) -> tuple[Keys, Spent]:
        return Keys(list(self.table.keys.values())), Spent(self.tally.totals())


@asynccontextmanager
async def open_keyring(records: Records, followers: Followers, audit: Audit) -> AsyncIterator[Keyring]:
    """Read the keys and keep their use written down; at the end all of it is."""
    uses = await records.caller_uses()
    tally = Tally({caller: spent for caller, _, spent in uses})
    last_used = {caller: last for caller, last, _ in uses if last}
    keyring = Keyring(records, followers, audit, await records.keys(), last_used, tally)
    task = asyncio.create_task(keyring.run(), name="keys")
    try:
        yield keyring
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await keyring.try_to_write()
