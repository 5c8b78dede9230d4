"""Buckets in Redis are those that one server would have in its memory."""

from __future__ import annotations

import asyncio

import pytest
from redis.exceptions import RedisError

from prism_core.plugin import Spending
from prism_core.testing import RateStoreContract
from prism_redis_cache.config import RedisConfig
from prism_redis_cache.rates import open_rates

pytestmark = pytest.mark.system

# Long enough that what passes between two commands does not matter.
HOUR = 3600.0


@pytest.fixture
def config(redis, request):
    return RedisConfig(redis.url, f"{id(request.node)}")


class TestRedisRates(RateStoreContract):
    @pytest.fixture(autouse=True)
    def _config(self, config):
        self.config = config

    def open(self):
        return open_rates(self.config)


async def ahead(rates, *spendings):
    return [round(seconds / HOUR, 2) for seconds in await rates.spend([Spending(*one) for one in spendings])]


async def test_servers_of_another_namespace_have_their_own(config, redis):
    async with open_rates(config) as one, open_rates(RedisConfig(redis.url)) as other:
        await one.spend([Spending("a", HOUR, 5)])

        assert await ahead(other, ("a", HOUR, 0)) == [0]


async def test_a_full_bucket_is_forgotten(config, redis):
    async with open_rates(config) as rates:
        await rates.spend([Spending("a", 0.05, 1), Spending("b", HOUR, 1), Spending("c", HOUR, 0)])
        await asyncio.sleep(0.1)

        assert await ahead(rates, ("a", HOUR, 0)) == [0]
    kept = redis.run("KEYS", f"prism-rates:{config.namespace}:*").split()
    assert kept == [f"prism-rates:{config.namespace}:b"]


async def test_a_redis_that_comes_back_is_asked_again(make_redis):
    server = make_redis()
    async with open_rates(RedisConfig(server.url)) as rates:
        await rates.spend([Spending("a", HOUR, 1)])
        server.kill()
        with pytest.raises((RedisError, OSError)):
            await rates.spend([Spending("a", HOUR, 1)])
        server.start()

        assert await ahead(rates, ("a", HOUR, 1)) == [1]
