"""What a Redis in trouble does to the cache: an error that says so, a miss, never a wrong value."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest
from redis import Redis
from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError

from prism_core.plugin import ConfigError
from prism_redis_cache.config import RedisConfig
from prism_redis_cache.store import open_redis

pytestmark = pytest.mark.system

KEY, OTHER = b"k" * 16, b"o" * 16


@pytest.fixture
def own_redis(make_redis):
    """A server that the test may break."""
    server = make_redis()
    yield server
    server.stop()


@pytest.fixture
def raw(redis):
    """A client that can put anything anywhere; it begins with an empty server."""
    with Redis(unix_socket_path=str(redis.socket)) as client:
        client.flushall()
        yield client


def opened(server, **settings):
    return open_redis(RedisConfig(server.url, **settings))


# --- trouble ------------------------------------------------------------------------------


async def test_a_redis_that_was_killed_is_an_error_until_it_is_back(own_redis):
    async with opened(own_redis) as cache:
        await cache.put(KEY, b"value", 60)
        own_redis.kill()
        with pytest.raises((RedisError, OSError)):
            await cache.get(KEY)
        own_redis.start()

        assert await cache.get(KEY) is None
        await cache.put(KEY, b"again", 60)
        assert await cache.get(KEY) == b"again"


async def test_a_late_answer_goes_to_nobody_else(own_redis):
    """Whoever asked a paused Redis has gone; the next one gets the answer to its own question."""
    async with opened(own_redis, connections=1) as cache:
        await cache.put(KEY, b"value", 60)
        await cache.put(OTHER, b"other", 60)
        own_redis.pause()
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(cache.get(KEY), 0.01)
        own_redis.go_on()

        assert await cache.get(OTHER) == b"other"


async def test_it_opens_and_closes_while_redis_is_paused(own_redis):
    own_redis.pause()
    async with opened(own_redis) as cache:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(cache.get(KEY), 0.01)


async def test_a_full_redis_keeps_nothing_more_and_is_still_read(own_redis):
    async with opened(own_redis) as cache:
        await cache.put(KEY, b"value", 60)
        own_redis.run("config", "set", "maxmemory", "1")
        with pytest.raises(OutOfMemoryError):
            await cache.put(OTHER, b"value", 60)

        assert await cache.get(KEY) == b"value"
        assert await cache.get(OTHER) is None


async def test_a_redis_that_is_read_only_is_still_read(own_redis):
    async with opened(own_redis) as cache:
        await cache.put(KEY, b"value", 60)
        own_redis.run("replicaof", "127.0.0.1", "1")
        with pytest.raises(ReadOnlyError):
            await cache.put(OTHER, b"value", 60)

        assert await cache.get(KEY) == b"value"


async def test_a_flushed_redis_is_empty(own_redis):
    async with opened(own_redis) as cache:
        await cache.put(KEY, b"value", 60)
        own_redis.run("flushall")

        assert await cache.get(KEY) is None


@asynccontextmanager
async def answering(answer):
    """Serve something that is no Redis: it answers whatever it is asked with ``answer``."""

    async def serve(reader, writer):
        while await reader.read(65536):
            writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        server.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
        b"\x00\xff\x00\xff\r\n",
        b"$5\r\nvalue\r\n" * 5,
        b"*2\r\n:1\r\n:2\r\n" * 5,
        b"$-1\r\n" * 5,
        b":7\r\n" * 5,
        b"-LOADING Redis is loading the dataset in memory\r\n" * 5,
    ],
)
async def test_nonsense_is_never_a_value(answer):
    async with answering(answer) as url, open_redis(RedisConfig(url)) as cache:
        for _ in range(3):
            try:
                value = await cache.get(KEY)
            except Exception:
                value = None
            assert value is None


# --- foreign values -------------------------------------------------------------------------


async def test_a_value_that_was_changed_is_a_miss_and_is_counted(redis, raw):
    async with opened(redis, namespace="n") as cache:
        await cache.put(KEY, b"value", 60)
        (name,) = raw.keys()
        raw.setrange(name, 20, b"x")

        assert await cache.get(KEY) is None
        assert cache.counts["corrupted"] == 1


async def test_a_value_of_another_key_is_a_miss_and_is_counted(redis, raw):
    async with opened(redis, namespace="n") as cache:
        await cache.put(KEY, b"value", 60)
        (name,) = raw.keys()
        raw.copy(name, name.replace(KEY, OTHER))

        assert await cache.get(OTHER) is None
        assert cache.counts["corrupted"] == 1


async def test_something_of_another_kind_is_a_miss_and_is_counted(redis, raw):
    async with opened(redis, namespace="n") as cache:
        await cache.put(KEY, b"value", 60)
        (name,) = raw.keys()
        raw.delete(name)
        raw.lpush(name, "x")

        assert await cache.get(KEY) is None
        assert cache.counts["corrupted"] == 1


async def test_a_large_value_is_not_stored_and_a_large_foreign_one_not_fetched(redis, raw):
    async with opened(redis, namespace="n", max_value=1000) as cache:
        await cache.put(KEY, b"x" * 1000, 60)
        await cache.put(OTHER, b"x" * 1001, 60)
        assert await cache.get(KEY) == b"x" * 1000
        assert len(raw.keys()) == 1

        raw.set(raw.keys()[0], b"x" * 50_000_000)
        before = raw.info("stats")["total_net_output_bytes"]
        assert await cache.get(KEY) is None
        assert raw.info("stats")["total_net_output_bytes"] - before < 50_000
        assert cache.counts == {"corrupted": 1, "too_large": 1}


# --- who has what ----------------------------------------------------------------------------


async def test_namespaces_are_apart_and_cleared_apart(redis, raw):
    async with opened(redis, namespace="one") as one, opened(redis, namespace="two") as two:
        await one.put(KEY, b"1", 60)
        await two.put(KEY, b"2", 60)
        assert (await one.get(KEY), await two.get(KEY)) == (b"1", b"2")

        await one.clear()
        assert (await one.get(KEY), await two.get(KEY)) == (None, b"2")


async def test_servers_of_one_namespace_share(redis, raw):
    async with opened(redis, namespace="team") as one, opened(redis, namespace="team") as other:
        await one.put(KEY, b"value", 60)

        assert await other.get(KEY) == b"value"


async def test_clear_leaves_what_is_not_ours(redis, raw):
    raw.mset({f"prism:n:{number}": "x" for number in range(2000)})
    raw.set("somebody else", "x")
    async with opened(redis, namespace="n") as cache:
        await cache.clear()

    assert raw.keys() == [b"somebody else"]


async def test_redis_ends_values_by_itself(redis, raw):
    async with opened(redis, namespace="n") as cache:
        await cache.put(KEY, b"value", 60)
        assert 59_000 < raw.pttl(raw.keys()[0]) <= 60_000

        await cache.put(KEY, b"value", None)
        assert raw.pttl(raw.keys()[0]) == -1

        await cache.put(KEY, b"value", 0)
        assert not raw.keys()


async def test_many_requests_share_a_few_connections(redis, raw):
    before = raw.info("stats")["total_connections_received"]
    async with opened(redis, namespace="n", connections=3) as cache:
        await asyncio.gather(*(cache.put(b"%16d" % n, b"%d" % n, 60) for n in range(500)))
        values = await asyncio.gather(*(cache.get(b"%16d" % n) for n in range(500)))

    assert values == [b"%d" % n for n in range(500)]
    assert raw.info("stats")["total_connections_received"] - before <= 3


# --- settings ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://127.0.0.1", "begins with none of"),
        ("redis://:geheim/nis@127.0.0.1:6379", "port is no number"),
        ("redis://:geheimnis@127.0.0.1:6379?colour=red", "colour"),
        ("redis://:geheimnis@127.0.0.1:6379?db=geheimnis", "db"),
    ],
)
async def test_a_url_that_cannot_work_is_told_without_its_password(url, said):
    with pytest.raises(ConfigError, match=said) as refused:
        async with open_redis(RedisConfig(url)):
            pass

    assert "geheim" not in str(refused.value)
    assert "plugins.redis.url" in refused.value.message


def test_the_settings_do_not_show_the_password():
    assert "geheim" not in repr(RedisConfig("redis://:geheim@127.0.0.1"))
