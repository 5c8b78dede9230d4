"""Answers kept by exact bytes: the policy around the store.

`AnswerCache` is what a lane asks: it keys, coalesces equal requests in flight, and steps
aside where nothing ever hits. `MemoryCache` is the built-in `CacheBackend`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from hashlib import blake2b
from typing import Protocol

import attrs
import msgspec

from prism_core.gateway.lru import Group, Store
from prism_core.hookspecs import hookimpl
from prism_core.specs import CacheBackend

# After so many look-ups with fewer hits than one in a hundred, the cache steps aside for so
# many requests or so long, whichever is over first, and then looks again.
SAMPLE = 1000
USEFUL = 0.01
ASIDE = 100_000
ASIDE_S = 10.0
# A request up to this size is its own key: joining its bytes takes 0.1 us, a digest of them 0.8.
EXACT_BYTES = 512
DIGEST_BYTES = 16


@attrs.frozen
class MemoryCacheConfig:
    """``plugins.memory``: how much is kept, and for how long unless told otherwise."""

    max_memory: int = 256 * 1024 * 1024
    ttl_s: float = 3600.0


class MemoryCache:
    """The store as a `Cache`."""

    def __init__(self, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = Store(max_bytes, clock)
        self._all = Group()

    async def get(self, key: bytes) -> bytes | None:
        """Return the value or None."""
        value: bytes | None = self._store.lookup(key)
        return value

    async def put(self, key: bytes, value: bytes, ttl_s: float | None) -> None:
        """Keep the value for at most ``ttl_s`` seconds."""
        self._store.keep(key, value, len(value), ttl_s, self._all)

    async def clear(self) -> None:
        """Forget everything."""
        self._store.clear()


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


class Kept(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """An answer as it is kept: what the reply said, and its body."""

    media_type: str
    rows: int
    body: bytes


class Stored(msgspec.Struct, array_like=True, frozen=True):
    """An answer as a second level has it: when it ends, in Unix seconds, and the answer."""

    ends: float
    kept: Kept


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Stored).decode


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
    store
        The first level, shared by all versions.
    salt
        What makes the version's answers different from all others: see `prism_core.gateway.salt`.
    ttl_s
        How long an answer may be given again.
    second
        What is asked behind it; None for none.
    bound
        What the versions of the model may take together; None: as much as there is.
    clock
        Unix seconds, which servers that share a second level have in common.

    Attributes
    ----------
    kept
        What the store has of this version.
    """

    def __init__(
        self,
        store: Store,
        salt: bytes,
        ttl_s: float,
        second: Further | None = None,
        bound: Group | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.second = second
        self.kept = Group()
        self._store = store
        self._bound = bound
        self._salt = blake2b(salt, digest_size=DIGEST_BYTES).digest()
        self._ttl_s = ttl_s
        self._clock = clock
        self._closed = False
        self._flights: dict[bytes, list[Waiter]] = {}
        self._left = SAMPLE
        self._useful = 0
        self._aside = 0
        self._return: asyncio.TimerHandle | None = None

    # --- keys ------------------------------------------------------------------------

    def key(self, mark: bytes, body: bytes | memoryview) -> bytes | None:
        """Return the key of a request, or None while the cache steps aside.

        ``mark`` holds everything but the body that changes the answer, its own length first.
        """
        if self._aside:
            self._aside -= 1
            return None
        if len(body) <= EXACT_BYTES:
            return self._salt + mark + body
        digest = blake2b(self._salt + mark, digest_size=DIGEST_BYTES)
        digest.update(body)
        return digest.digest()

    # --- the first level ---------------------------------------------------------------

    def lookup(self, key: bytes) -> Kept | None:
        """Return what memory has, and learn whether asking it pays."""
        kept: Kept | None = self._store.lookup(key)
        self._left -= 1
        if kept is not None:
            self._useful += 1
        if not self._left:
            self._judge()
        return kept

    def _judge(self) -> None:
        if self._useful < SAMPLE * USEFUL:
            self._aside = ASIDE
            if self._return is not None:
                self._return.cancel()
            # Where few requests come, it would be long before so many have.
            self._return = asyncio.get_running_loop().call_later(ASIDE_S, self._look_again)
        self._left, self._useful = SAMPLE, 0

    def _look_again(self) -> None:
        self._aside, self._return = 0, None

    # --- the second level ----------------------------------------------------------------

    async def fetch(self, key: bytes) -> Kept | None:
        """Return what the second level has; whatever is wrong with that is a miss."""
        assert self.second is not None
        value = await self.second.get(_digest(key))
        if value is None:
            return None
        try:
            stored = _decode(value)
        except msgspec.DecodeError:
            return None
        left_s = min(self._ttl_s, stored.ends - self._clock())
        if left_s <= 0:
            return None
        self._useful += 1
        self._keep(key, stored.kept, left_s)
        return stored.kept

    # --- equal requests in flight ----------------------------------------------------------

    def join(self, key: bytes, call: Waiter) -> bool:
        """Return whether an equal call computes already: then this one is told its outcome."""
        flight = self._flights.setdefault(key, [])
        flight.append(call)
        if len(flight) == 1:
            return False
        self._useful += 1
        return True

    def land(self, key: bytes, outcome: Kept | Exception, *, computed: bool = True) -> list[Waiter]:
        """Keep what the first call computed; return the others, who are to be told the outcome."""
        if computed and isinstance(outcome, Kept):
            self._keep(key, outcome, self._ttl_s)
            if self.second is not None:
                stored = Stored(self._clock() + self._ttl_s, outcome)
                self.second.keep(_digest(key), _encode(stored), self._ttl_s)
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

    # --- the end ---------------------------------------------------------------------

    def drop(self) -> None:
        """Free what is kept: the version is not what most requests mean any more."""
        self._store.drop(self.kept)

    def close(self) -> None:
        """Free what is kept, and keep nothing more."""
        self._closed = True
        if self._return is not None:
            self._return.cancel()
        self.drop()

    def _keep(self, key: bytes, kept: Kept, ttl_s: float) -> None:
        if not self._closed:
            self._store.keep(key, kept, len(kept.body), ttl_s, self.kept, self._bound)


def _digest(key: bytes) -> bytes:
    """Return the key as others see it: a digest, whatever it was made of."""
    return key if len(key) == DIGEST_BYTES else blake2b(key, digest_size=DIGEST_BYTES).digest()
