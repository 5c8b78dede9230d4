"""The cache, as every cache: plain, with a password, and over TLS."""

from __future__ import annotations

import pytest

from prism_core.testing import CacheContract
from prism_redis_cache.config import RedisConfig
from prism_redis_cache.store import open_redis

pytestmark = pytest.mark.system


class RedisContract(CacheContract):
    """The tests of `CacheContract` against ``self.url``, each in a namespace of its own."""

    url: str

    @pytest.fixture(autouse=True)
    def _own_namespace(self, request):
        self.namespace = f"{id(request.node)}"

    def open(self):
        return open_redis(RedisConfig(self.url, self.namespace))


class TestRedis(RedisContract):
    @pytest.fixture(autouse=True)
    def _server(self, redis):
        self.url = redis.url


class TestRedisWithPassword(RedisContract):
    @pytest.fixture(autouse=True)
    def _server(self, locked_redis):
        self.url = f"unix://:sesam%2F%C3%B6ffne%20dich@{locked_redis.socket}"

    async def test_a_wrong_password_is_an_error_that_does_not_tell_it(self, locked_redis):
        async with open_redis(RedisConfig(f"unix://:geheim@{locked_redis.socket}")) as cache:
            with pytest.raises(Exception, match="password") as refused:
                await cache.get(b"key")

        assert "geheim" not in repr(refused.value)


class TestRedisOverTls(RedisContract):
    @pytest.fixture(autouse=True)
    def _server(self, tls_redis, certificate):
        self.plain = f"rediss://:sesam@127.0.0.1:{tls_redis.tls_port}"
        self.url = f"{self.plain}?ssl_ca_certs={certificate[1]}"

    async def test_a_certificate_that_nobody_knows_is_refused(self):
        async with open_redis(RedisConfig(self.plain)) as cache:
            with pytest.raises(Exception, match="certificate verify failed"):
                await cache.get(b"key")
