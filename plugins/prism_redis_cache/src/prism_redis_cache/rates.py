"""Rate limits that servers share: for each bucket the moment at which it is full, by Redis's clock.

One script for all buckets of an exchange: reading, moving on and writing are one step, so
nothing is lost between two servers. A key ends when its bucket is full.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import attrs
from redis.asyncio import Redis

from prism_core.plugin import Spending
from prism_redis_cache.config import RedisConfig
from prism_redis_cache.store import open_client

# Times are whole microseconds: a double, which is all that Lua has, holds those of this century exactly.
SPEND = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local ahead = {}
for i, key in ipairs(KEYS) do
    local full = tonumber(redis.call('GET', key) or now)
    if full < now then full = now end
    full = full + ARGV[i]
    ahead[i] = full - now
    if tonumber(ARGV[i]) > 0 then
        redis.call('SET', key, string.format('%.0f', full), 'PX', math.ceil(ahead[i] / 1000))
    end
end
return ahead
"""


@attrs.define(eq=False)
class RedisRates:
    """A `RateStore` in Redis."""

    _client: Redis
    _prefix: str
    _script: object = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """Prepare the script; it is sent when Redis does not know it."""
        self._script = self._client.register_script(SPEND)

    async def spend(self, spendings: Sequence[Spending]) -> Sequence[float]:
        """Take requests from buckets; return in how many seconds each is full then."""
        keys = [self._prefix + one.subject for one in spendings]
        moved_us = [round(one.interval_s * one.count * 1e6) for one in spendings]
        ahead_us = await self._script(keys=keys, args=moved_us)  # type: ignore[operator]
        return [us / 1e6 for us in ahead_us]


@asynccontextmanager
async def open_rates(config: RedisConfig) -> AsyncIterator[RedisRates]:
    """Open the store. Redis need not be there yet.

    Raises
    ------
    ConfigError
        If the URL is none that the client understands.
    """
    async with open_client(config) as client:
        yield RedisRates(client, f"prism-rates:{config.namespace}:")
