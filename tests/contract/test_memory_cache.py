"""The built-in cache, as every cache."""

from contextlib import asynccontextmanager

from prism_core.gateway.cache import MemoryCache, MemoryCacheConfig, open_memory
from prism_core.testing import CacheContract, Clock


class TestMemoryCache(CacheContract):
    def open(self):
        return open_memory(MemoryCacheConfig())


class TestMemoryCacheByItsClock(CacheContract):
    """The same without waiting: an hour passes at once."""

    ttl_s = 3600.0

    @asynccontextmanager
    async def open(self):
        self.clock = Clock()
        yield MemoryCache(1 << 20, self.clock)

    async def later(self, seconds):
        self.clock.advance(seconds)
