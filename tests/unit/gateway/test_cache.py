"""The cache against a plain oracle, and its manners."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_core.errors import ModelFailed
from prism_core.gateway.cache import ASIDE, ENTRY_BYTES, SAMPLE, AnswerCache, Kept, MemoryCache


class Clock:
    """Time that moves when told."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def answers(second=None) -> AnswerCache:
    return AnswerCache(MemoryCache(1 << 20), b"version 1", ttl_s=60, second=second)


async def kept(text: bytes = b"answer") -> Kept:
    return Kept("application/json", 1, text)


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 5), st.integers(0, 40), st.floats(0, 20)),
        st.tuples(st.just("get"), st.integers(0, 5)),
        st.tuples(st.just("wait"), st.floats(0, 10)),
    ),
    max_size=60,
)


@given(OPERATIONS)
def test_memory_is_a_bounded_lru_with_ttl(operations):
    """Equal to an ordered dictionary that forgets by age, then by order of use."""
    clock = Clock()
    limit = 3 * ENTRY_BYTES
    cache, oracle = MemoryCache(limit, clock), OrderedDict()
    for name, *values in operations:
        if name == "wait":
            clock.now += values[0]
        elif name == "get":
            key = b"%d" % values[0]
            entry = oracle.get(key)
            if entry and entry[1] <= clock.now:
                del oracle[key]
                entry = None
            if entry:
                oracle.move_to_end(key)
            assert cache.lookup(key) == (entry[0] if entry else None)
        else:
            key, value, ttl_s = b"%d" % values[0], b"x" * values[1], values[2]
            oracle.pop(key, None)
            if ttl_s > 0:
                oracle[key] = (value, clock.now + ttl_s)
            while sum(len(v) + ENTRY_BYTES for v, _ in oracle.values()) > limit:
                oracle.popitem(last=False)
            cache.keep(key, value, ttl_s)
        assert cache.bytes <= limit
        assert len(cache) == len(oracle)


def test_a_value_larger_than_the_cache_is_not_kept():
    cache = MemoryCache(1000)
    cache.keep(b"small", b"x", None)
    cache.keep(b"large", b"x" * 1000, None)

    assert cache.lookup(b"small") == b"x"
    assert cache.lookup(b"large") is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("json", b"1"), ("json", b"2")),
        (("json", b"1"), ("csv", b"1")),
        (("a", b"bc"), ("ab", b"c")),
    ],
)
def test_different_requests_have_different_keys(one, other):
    cache = answers()

    assert cache.key(*one) == cache.key(*one)
    assert cache.key(*one) != cache.key(*other)


def test_different_versions_have_different_keys():
    memory = MemoryCache(1 << 20)

    assert AnswerCache(memory, b"1", 1).key("h", b"") != AnswerCache(memory, b"2", 1).key("h", b"")


async def test_the_second_time_is_a_hit():
    cache = answers()
    key = cache.key("head", b"body")

    assert await cache.answer(key, kept) == (await kept(), "miss")
    assert await cache.answer(key, kept) == (await kept(), "hit")


async def test_equal_requests_in_flight_are_computed_once():
    cache, gate, computed = answers(), asyncio.Event(), []

    async def compute():
        computed.append(1)
        await gate.wait()
        return await kept()

    tasks = [asyncio.create_task(cache.answer(b"key", compute)) for _ in range(3)]
    await asyncio.sleep(0)
    gate.set()

    assert [how for _, how in await asyncio.gather(*tasks)] == ["miss", "coalesced", "coalesced"]
    assert computed == [1]


async def test_when_the_one_who_computes_goes_away_another_computes():
    cache, gate, computed = answers(), asyncio.Event(), []

    async def compute():
        computed.append(1)
        await gate.wait()
        return await kept()

    first, second = (asyncio.create_task(cache.answer(b"key", compute)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    gate.set()

    assert (await second)[0] == await kept()
    assert first.cancelled()


async def test_an_error_is_shared_but_never_kept():
    cache, gate = answers(), asyncio.Event()

    async def fail():
        await gate.wait()
        raise ModelFailed("no")

    tasks = [asyncio.create_task(cache.answer(b"key", fail)) for _ in range(2)]
    await asyncio.sleep(0)
    gate.set()

    assert [type(e) for e in await asyncio.gather(*tasks, return_exceptions=True)] == [
        ModelFailed,
        ModelFailed,
    ]
    assert (await cache.answer(b"key", kept))[1] == "miss"


async def test_a_cache_that_never_hits_steps_aside_and_looks_again():
    cache = answers()
    for number in range(SAMPLE):
        cache.lookup(b"%d" % number)

    assert cache.key("head", b"") is None
    for _ in range(ASIDE - 1):
        cache.key("head", b"")
    assert cache.key("head", b"") is not None


class Second:
    """A second level that works, hangs or fails."""

    def __init__(self, how="works"):
        self.how, self.values = how, {}

    async def _behave(self):
        if self.how == "hangs":
            await asyncio.Event().wait()
        if self.how == "fails":
            raise ConnectionError

    async def get(self, key):
        await self._behave()
        return self.values.get(key)

    async def put(self, key, value, ttl_s):
        await self._behave()
        self.values[key] = value

    async def clear(self):
        self.values.clear()


async def test_a_second_level_answers_for_another_server():
    second = Second()
    await answers(second).answer(b"key", kept)

    assert await answers(second).answer(b"key", kept) == (await kept(), "hit")


@pytest.mark.parametrize("how", ["hangs", "fails"])
async def test_a_second_level_that_is_down_is_a_miss(how):
    assert await answers(Second(how)).answer(b"key", kept) == (await kept(), "miss")
