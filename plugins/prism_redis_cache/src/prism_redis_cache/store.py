"""The cache itself: keys, values and their ends, as Redis has them.

It raises what goes wrong. How long a caller waits, and when it is not asked any more, is the
gateway's business, which treats every second level alike.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import ceil
from urllib.parse import urlsplit

import attrs
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from prism_core.plugin import ConfigError
from prism_redis_cache.batches import Batches, open_batches
from prism_redis_cache.config import RedisConfig
from prism_redis_cache.values import DIGEST_BYTES, seal, unseal

# A connection on which nothing comes for so long is given up. Callers have long gone then; a
# shorter time would throw away good connections when Redis only pauses.
DEAD_S = 1.0
SCHEMES = ("redis", "rediss", "unix")
# Keys that `clear` deletes at a time.
CLEAR = 500


@attrs.define(eq=False)
class RedisCache:
    """A `Cache` in Redis.

    Attributes
    ----------
    counts
        ``corrupted``: what was read and is not what was stored. ``too_large``: not stored.
    """

    _batches: Batches
    _prefix: bytes
    _max_value: int
    counts: Counter[str] = attrs.field(factory=lambda: Counter(corrupted=0, too_large=0))

    async def get(self, key: bytes) -> bytes | None:
        """Return the value; None also where Redis has something else under that key."""
        try:
            # A range, so that a foreign value of any size costs a bounded one.
            stored = await self._batches.ask(
                "GETRANGE", self._prefix + key, 0, self._max_value + DIGEST_BYTES
            )
        except ResponseError as error:
            if not str(error).startswith("WRONGTYPE"):
                raise
            stored = b"-"
        if not stored:
            return None
        value = unseal(key, stored)
        if value is None:
            self.counts["corrupted"] += 1
        return value

    async def put(self, key: bytes, value: bytes, ttl_s: float | None) -> None:
        """Keep the value for at most ``ttl_s`` seconds; one that is too large is not kept."""
        name = self._prefix + key
        if len(value) > self._max_value:
            self.counts["too_large"] += 1
            await self._batches.ask("DEL", name)
        elif ttl_s is None:
            await self._batches.ask("SET", name, seal(key, value))
        elif ttl_s <= 0:
            await self._batches.ask("DEL", name)
        else:
            await self._batches.ask("SET", name, seal(key, value), "PX", ceil(ttl_s * 1000))

    async def clear(self) -> None:
        """Forget everything of this namespace."""
        cursor = b"0"
        while True:
            cursor, keys = await self._batches.ask(
                "SCAN", cursor, "MATCH", self._prefix + b"*", "COUNT", CLEAR
            )
            if keys:
                await self._batches.ask("DEL", *keys)
            if cursor in (b"0", 0):
                return


@asynccontextmanager
async def open_redis(config: RedisConfig) -> AsyncIterator[RedisCache]:
    """Open the cache. Redis need not be there yet.

    Raises
    ------
    ConfigError
        If the URL is none that the client understands.
    """
    async with open_client(config) as client, open_batches(client, config.connections) as batches:
        yield RedisCache(batches, f"prism:{config.namespace}:".encode(), config.max_value)


@asynccontextmanager
async def open_client(config: RedisConfig) -> AsyncIterator[Redis]:
    """Make a client, which connects when it is asked something, and close it at the end.

    Raises
    ------
    ConfigError
        If the URL is none that it understands.
    """
    client = _client(config)
    try:
        yield client
    finally:
        try:
            await client.aclose()
        except (RedisError, OSError):
            pass  # it is gone already


def _client(config: RedisConfig) -> Redis:
    fault = _fault(config.url)
    try:
        if fault:
            raise ValueError(fault)
        pool = ConnectionPool.from_url(
            config.url,
            max_connections=config.connections,
            socket_timeout=DEAD_S,
            socket_connect_timeout=DEAD_S,
            retry=Retry(NoBackoff(), 0),  # the gateway's breaker says when to try again
            protocol=2,  # all that is needed here, and one round trip less to connect
        )
        # A wrong parameter is found here, and not with the first request.
        pool.connection_class(**pool.connection_kwargs)
    except (ValueError, TypeError, RedisError, OSError) as error:
        raise ConfigError(
            f"plugins.redis.url cannot be used: {error}",
            hint="For instance redis://127.0.0.1:6379/0, rediss://user:password@host:6380, unix:///path.",
        ) from error
    return Redis.from_pool(pool)


def _fault(url: str) -> str:
    """Return what is wrong with the URL's form, without quoting what may be a part of the password."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return "its port is no number; in a password write %2F for /, %40 for @, %23 for #, %3F for ?"
    return "" if parts.scheme in SCHEMES else f"it begins with none of {', '.join(SCHEMES)}"
