"""The keys of a server, in its leading gateway: made, listed, revoked.

A change is stored, then valid here, then in every follower, and only then reported done: a
key that was revoked opens nothing any more, on no connection.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from prism_core.errors import KeyNotFound
from prism_core.gateway.auditing import Audit
from prism_core.gateway.callers.keys import Key, KeyTable, KeyWish, caller_id, new_key
from prism_core.gateway.callers.usage import Usage
from prism_core.gateway.channel import Keys
from prism_core.gateway.followers import Followers
from prism_core.gateway.records import Records


class Keyring:
    """All keys.

    Attributes
    ----------
    table
        Recognises the holders of keys.
    """

    def __init__(
        self,
        records: Records,
        followers: Followers,
        audit: Audit,
        keys: Iterable[Key],
        usage: Usage,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.table = KeyTable(keys, clock)
        self._records = records
        self._followers = followers
        self._audit = audit
        self._usage = usage
        self._clock = clock
        usage.watch("key", self.table)
        followers.greetings.append(lambda: Keys(list(self.table.keys.values())))

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
        self._usage.note()
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
        self._usage.forget(caller_id(key_id))
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
            "used": self._usage.tally.spent(caller_id(key.id)),
            "created": key.created,
            "expires": key.expires or None,
            "expired": bool(key.expires) and key.expires <= self._clock(),
            "last_used": self._usage.last_used.get(caller_id(key.id)),
        }
