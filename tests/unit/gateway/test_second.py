"""The second level: whatever a plugin's cache does, a request gets a value or a quick None."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager

import attrs
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from prism_core.errors import ConfigError, UnknownPlugin
from prism_core.gateway import second
from prism_core.gateway.breaker import Circuit
from prism_core.gateway.second import SecondLevel, open_second_level
from prism_core.specs import CacheBackend
from prism_core.testing import Clock


class Moody:
    """A cache that works, hangs or fails, as told; remembers what it was asked."""

    def __init__(self, mood="works"):
        self.mood, self.values, self.asked = mood, {}, 0
        self.counts = {"corrupted": 3}
        self.written = asyncio.Event()

    async def _behave(self):
        self.asked += 1
        if self.mood == "hangs":
            await asyncio.Event().wait()
        if self.mood == "fails":
            raise ConnectionError("refused")

    async def get(self, key):
        await self._behave()
        return self.values.get(key)

    async def put(self, key, value, ttl_s):
        self.written.set()
        await self._behave()
        self.values[key] = value

    async def clear(self):
        await self._behave()
        self.values.clear()


@asynccontextmanager
async def writing(level):
    task = asyncio.create_task(level.write())
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def level_of(cache, clock=None):
    return SecondLevel("moody", cache, 0.001, clock or Clock())


async def until(condition):
    while not condition():
        await asyncio.sleep(0)


async def test_it_gives_what_the_cache_has():
    cache = Moody()
    cache.values[b"key"] = b"value"
    level = level_of(cache)

    assert await level.get(b"key") == b"value"
    assert await level.get(b"other") is None
    assert level.counts == {("get", "hit"): 1, ("get", "miss"): 1}


@pytest.mark.parametrize(("mood", "result"), [("hangs", "timeout"), ("fails", "error")])
async def test_what_goes_wrong_is_a_miss_and_is_counted(mood, result):
    level = level_of(Moody(mood))

    assert await level.get(b"key") is None
    assert level.counts == {("get", result): 1}


async def test_an_answer_that_came_while_this_process_was_held_up_counts():
    """The timer is due too when the loop goes on: it must not win."""

    class HeldUp(Moody):
        async def get(self, key):
            await asyncio.sleep(0)
            time.sleep(0.02)  # noqa: ASYNC251 - the processor is with somebody else
            for _ in range(5):
                await asyncio.sleep(0)
            return b"value"

    level = SecondLevel("moody", HeldUp(), 0.004, Clock())

    assert await level.get(b"key") == b"value"


async def test_what_is_down_is_not_asked_until_a_pause_has_passed():
    clock, cache = Clock(), Moody("fails")
    level = level_of(cache, clock)
    for _ in range(20):
        await level.get(b"key")
    asked = cache.asked
    cache.mood = "works"
    clock.advance(0.5)
    await level.get(b"key")

    assert asked == level.breakers["get"].patience
    assert level.counts["get", "refused"] == 20 - asked
    assert level.breakers["get"].state is Circuit.CLOSED


async def test_nothing_is_written_while_a_request_is_answered():
    cache = Moody()
    level = level_of(cache)

    level.keep(b"key", b"value", None)

    assert not cache.asked


async def test_writes_happen_in_the_background():
    cache = Moody()
    level = level_of(cache)
    async with writing(level):
        for number in range(100):
            level.keep(b"%d" % number, b"value", 60)
        await until(lambda: len(cache.values) == 100)

    assert level.counts == {("put", "kept"): 100}


async def test_writes_that_wait_are_bounded_in_number_and_in_bytes(monkeypatch):
    monkeypatch.setattr(second, "WAITING", 10)
    monkeypatch.setattr(second, "WAITING_BYTES", 100)
    by_number, by_bytes = level_of(Moody()), level_of(Moody())
    for number in range(15):
        by_number.keep(b"%d" % number, b"", None)
        by_bytes.keep(b"%d" % number, b"x" * 30, None)

    assert by_number.counts == {("put", "dropped"): 5}
    assert by_bytes.counts == {("put", "dropped"): 12}


async def test_the_bound_is_for_what_waits_now(monkeypatch):
    """What has been written, or was given up, no longer counts."""
    monkeypatch.setattr(second, "WAITING_BYTES", 100)
    cache = Moody()
    level = level_of(cache)
    async with writing(level):
        for number in range(10):
            level.keep(b"%d" % number, b"x" * 60, None)
            await until(lambda number=number: b"%d" % number in cache.values)

    assert level.counts == {("put", "kept"): 10}


async def test_what_waits_for_a_cache_that_is_down_is_dropped():
    cache = Moody("fails")
    level = level_of(cache)
    async with writing(level):
        for number in range(100):
            level.keep(b"%d" % number, b"value", None)
        await until(lambda: level.counts["put", "dropped"])
        level.keep(b"late", b"value", None)

    assert level.counts["put", "error"] + level.counts["put", "dropped"] == 100
    assert level.counts["put", "refused"] == 1


async def test_a_cache_that_only_refuses_writes_is_still_read():
    """A Redis that is full, or a replica that is read only."""

    class Full(Moody):
        async def put(self, key, value, ttl_s):
            raise MemoryError("full")

    cache = Full()
    cache.values[b"key"] = b"value"
    level = level_of(cache)
    async with writing(level):
        for number in range(10):
            level.keep(b"%d" % number, b"", None)
        await until(lambda: level.breakers["put"].state is Circuit.OPEN)

    assert await level.get(b"key") == b"value"


async def test_a_caller_that_goes_away_says_nothing_about_the_cache():
    level = SecondLevel("moody", Moody("hangs"), 60, Clock())
    task = asyncio.create_task(level.get(b"key"))
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert not level.counts


async def test_metrics_tell_calls_and_states_and_what_the_cache_counts():
    registry = CollectorRegistry()
    level = level_of(Moody("fails"))
    registry.register(level)
    for _ in range(6):
        await level.get(b"key")

    shown = generate_latest(registry).decode()
    assert 'prism_second_level_total{cache="moody",operation="get",result="error"} 5.0' in shown
    assert 'prism_second_level_total{cache="moody",operation="get",result="refused"} 1.0' in shown
    assert 'prism_second_level_breaker{cache="moody",operation="get",state="open"} 1.0' in shown
    assert 'prism_second_level_breaker{cache="moody",operation="put",state="closed"} 1.0' in shown
    assert 'prism_second_level_waiting{cache="moody"} 0.0' in shown
    assert 'prism_second_level_own_total{cache="moody",what="corrupted"} 3.0' in shown


# --- opening ---------------------------------------------------------------------------------


@attrs.frozen
class Config:
    """A cache that several servers may share."""

    namespace: str = ""


def backends(seen, error=None):
    @asynccontextmanager
    async def open_moody(config):
        if error:
            raise error
        seen.append(config)
        yield Moody()
        seen.append("closed")

    return {"moody": CacheBackend("moody", open=open_moody, config=Config)}


@pytest.mark.parametrize(
    ("configs", "namespace"), [({}, "server 1"), ({"moody": {"namespace": "team"}}, "team")]
)
async def test_servers_are_kept_apart_unless_told_otherwise(configs, namespace):
    seen = []
    async with open_second_level("moody", backends(seen), configs, "server 1", 1) as level:
        assert await level.get(b"key") is None

    assert seen == [Config(namespace), "closed"]


async def test_no_name_is_no_second_level():
    async with open_second_level("", {}, {}, "server 1", 1) as level:
        assert level is None


async def test_one_that_does_not_open_is_left_out():
    async with open_second_level("moody", backends([], OSError("no")), {}, "server 1", 1) as level:
        assert level is None


@pytest.mark.parametrize(
    ("name", "error", "expected"),
    [("mody", None, UnknownPlugin), ("moody", ConfigError("plugins.moody.url is wrong"), ConfigError)],
)
async def test_wrong_settings_stop_the_start(name, error, expected):
    with pytest.raises(expected, match="moody"):
        async with open_second_level(name, backends([], error), {}, "server 1", 1):
            pass
