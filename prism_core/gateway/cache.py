"""Answers kept by exact bytes: a memory store, and the policy around it.

`MemoryCache` is the built-in `CacheBackend`. `AnswerCache` is what a lane asks: it keys,
coalesces equal requests in flight, and steps aside where nothing ever hits.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from hashlib import blake2b
from typing import Protocol

import attrs
import msgspec

from prism_core.hookspecs import hookimpl
from prism_core.specs import CacheBackend

# A rough cost of an entry beside its bytes: key, tuple, dict slots.
ENTRY_BYTES = 300
# After so many look-ups with fewer hits than one in a hundred, the cache steps aside for
# a while and then looks again.
SAMPLE = 1000
USEFUL = 0.01
ASIDE = 20_000


@attrs.frozen
class MemoryCacheConfig:
    """``plugins.memory``: how much is kept, and for how long unless told otherwise."""

    max_memory: int = 256 * 1024 * 1024
    ttl_s: float = 3600.0


class MemoryCache:
    """Least recently used by bytes, with a time to live.

    Parameters
    ----------
    max_bytes
        Upper bound of what keys and values take; a value that alone is larger is not kept.
    clock
        Monotonic seconds.
    """

    def __init__(self, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.max_bytes = max_bytes
        self.bytes = 0
        self._clock = clock
        self._entries: OrderedDict[bytes, tuple[bytes, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def lookup(self, key: bytes) -> bytes | None:
        """Return the value, or None; `get` without the event loop."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        value, ends = entry
        if ends <= self._clock():
            self._forget(key)
            return None
        self._entries.move_to_end(key)
        return value

    def keep(self, key: bytes, value: bytes, ttl_s: float | None) -> None:
        """Keep a value; `put` without the event loop."""
        if key in self._entries:
            self._forget(key)
        size = len(value) + ENTRY_BYTES
        if size > self.max_bytes or (ttl_s is not None and ttl_s <= 0):
            return
        self._entries[key] = (value, float("inf") if ttl_s is None else self._clock() + ttl_s)
        self.bytes += size
        while self.bytes > self.max_bytes:
            self._forget(next(iter(self._entries)))

    async def get(self, key: bytes) -> bytes | None:
        """Return the value or None."""
        return self.lookup(key)

    async def put(self, key: bytes, value: bytes, ttl_s: float | None) -> None:
        """Keep the value for at most ``ttl_s`` seconds."""
        self.keep(key, value, ttl_s)

    async def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self.bytes = 0

    def _forget(self, key: bytes) -> None:
        value, _ = self._entries.pop(key)
        self.bytes -= len(value) + ENTRY_BYTES


@asynccontextmanager
async def open_memory(config: MemoryCacheConfig) -> AsyncIterator[MemoryCache]:
    """Open the built-in cache."""
    cache = MemoryCache(config.max_memory)
    yield cache
    await cache.clear()


@hookimpl
def prism_caches() -> Iterator[CacheBackend]:
    """Offer the built-in cache."""
    yield CacheBackend("memory", open=open_memory, config=MemoryCacheConfig)


class Kept(msgspec.Struct, array_like=True, frozen=True):
    """An answer as it is kept: what the reply said, and its body."""

    media_type: str
    rows: int
    body: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Kept).decode


class Further(Protocol):
    """A second level that is fit for the way of a request: see `prism_core.gateway.second`."""

    async def get(self, key: bytes) -> bytes | None:
        """Return the value, or None within a few milliseconds; never raise."""

    def keep(self, key: bytes, value: bytes, ttl_s: float | None) -> None:
        """Have the value stored, at a time when nobody waits."""


class Waiter(Protocol):
    """A call that is computed, or waits for an equal one that is."""

    def land(self, outcome: Kept | Exception) -> None:
        """Take the outcome of the one that computed."""

    def resume(self) -> None:
        """Compute in its place."""


class AnswerCache:
    """The answers of one version.

    Equal requests that are in flight together are computed once: the first to `join` a key
    computes, and `land` gives its outcome to the others. An error is shared with those who
    wait for it and never kept.

    Parameters
    ----------
    memory
        The first level, shared by all versions.
    salt
        What makes the version different from all others: the digest of its artifact and of
        its manifest.
    ttl_s
        How long an answer may be served again.
    second
        What is asked behind it; None for none.
    """

    def __init__(self, memory: MemoryCache, salt: bytes, ttl_s: float, second: Further | None = None) -> None:
        self.second = second
        self._memory = memory
        self._salted = blake2b(salt, digest_size=16)
        self._ttl_s = ttl_s
        self._flights: dict[bytes, list[Waiter]] = {}
        self._looked = 0
        self._hits = 0
        self._aside = 0

    def key(self, mark: bytes, body: bytes | memoryview) -> bytes | None:
        """Return the key of a request, or None while the cache steps aside.

        ``mark`` holds everything but the body that changes the answer, its own length first.
        """
        if self._aside:
            self._aside -= 1
            return None
        digest = self._salted.copy()
        digest.update(mark)
        digest.update(body)
        return digest.digest()

    def lookup(self, key: bytes) -> Kept | None:
        """Return what memory has, and learn whether asking it pays."""
        value = self._memory.lookup(key)
        self._looked += 1
        if value is not None:
            self._hits += 1
        if self._looked >= SAMPLE:
            if self._hits < self._looked * USEFUL and not self.second:
                self._aside = ASIDE
            self._looked = self._hits = 0
        return _decode(value) if value is not None else None

    async def fetch(self, key: bytes) -> Kept | None:
        """Return what the second level has; whatever is wrong with that is a miss."""
        assert self.second is not None
        value = await self.second.get(key)
        if value is None:
            return None
        try:
            kept = _decode(value)
        except msgspec.DecodeError:
            return None
        self._memory.keep(key, value, self._ttl_s)
        return kept

    def join(self, key: bytes, call: Waiter) -> bool:
        """Return whether an equal call computes already: then this one is told its outcome."""
        flight = self._flights.setdefault(key, [])
        flight.append(call)
        return len(flight) > 1

    def land(self, key: bytes, outcome: Kept | Exception) -> list[Waiter]:
        """Keep the outcome of the call that computed; return the others, who are to be told."""
        if isinstance(outcome, Kept):
            self._keep(key, outcome)
        return self._flights.pop(key)[1:]

    def leave(self, key: bytes, call: Waiter) -> Waiter | None:
        """Forget a call; if it was the one that computes, return the one that is to compute now."""
        flight = self._flights.get(key, [])
        if call not in flight:
            return None
        computed = flight[0] is call
        flight.remove(call)
        if not flight:
            del self._flights[key]
            return None
        return flight[0] if computed else None

    def _keep(self, key: bytes, kept: Kept) -> None:
        value = _encode(kept)
        self._memory.keep(key, value, self._ttl_s)
        if self.second:
            self.second.keep(key, value, self._ttl_s)
