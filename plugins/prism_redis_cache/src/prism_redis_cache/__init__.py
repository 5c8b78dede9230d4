"""Keep answers in Redis, behind the memory cache, and rate limits that servers share.

The plugin itself: it describes both and imports no client. `values` seals what is stored,
`batches` speaks with Redis, `store` is the cache, `rates` the limits.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager

from prism_core.plugin import Cache, CacheBackend, RateBackend, RateStore, hookimpl
from prism_redis_cache.config import RedisConfig

__version__ = "0.1.0"


@hookimpl
def prism_caches() -> Iterator[CacheBackend]:
    """Offer the cache ``redis``."""
    yield CacheBackend("redis", open=_open, config=RedisConfig)


@hookimpl
def prism_rate_stores() -> Iterator[RateBackend]:
    """Offer the store of rate limits ``redis``."""
    yield RateBackend("redis", open=_open_rates, config=RedisConfig)


def _open_rates(config: RedisConfig) -> AbstractAsyncContextManager[RateStore]:
    from prism_redis_cache.rates import open_rates

    return open_rates(config)


def _open(config: RedisConfig) -> AbstractAsyncContextManager[Cache]:
    from prism_redis_cache.store import open_redis

    return open_redis(config)
