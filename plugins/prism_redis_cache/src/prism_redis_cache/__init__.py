"""Keep answers in Redis, behind the memory cache.

The plugin itself: it describes the cache and imports no client. `values` seals what is
stored, `batches` speaks with Redis, `store` is the cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager

from prism_core.plugin import Cache, CacheBackend, hookimpl
from prism_redis_cache.config import RedisConfig

__version__ = "0.1.0"


@hookimpl
def prism_caches() -> Iterator[CacheBackend]:
    """Offer the cache ``redis``."""
    yield CacheBackend("redis", open=_open, config=RedisConfig)


def _open(config: RedisConfig) -> AbstractAsyncContextManager[Cache]:
    from prism_redis_cache.store import open_redis

    return open_redis(config)
