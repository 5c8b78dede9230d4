"""The cache against a plain oracle, and its manners."""

from __future__ import annotations

from collections import OrderedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_core.gateway.cache import ASIDE, ENTRY_BYTES, SAMPLE, AnswerCache, MemoryCache
from prism_core.gateway.lane import Head


class Clock:
    """Time that moves when told."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def answers(second=None) -> AnswerCache:
    return AnswerCache(MemoryCache(1 << 20), b"version 1", ttl_s=60, second=second)


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
        ((Head("json"), b"1"), (Head("json"), b"2")),
        ((Head("json"), b"1"), (Head("csv"), b"1")),
        ((Head(style="a"), b"bc"), (Head(style="ab"), b"c")),
    ],
)
def test_different_requests_have_different_keys(one, other):
    cache = answers()

    keys = {cache.key(head.mark, body) for head, body in (one, other, one)}
    assert len(keys) == 2


def test_different_versions_have_different_keys():
    memory = MemoryCache(1 << 20)

    assert AnswerCache(memory, b"1", 1).key(b"h", b"") != AnswerCache(memory, b"2", 1).key(b"h", b"")


async def test_a_cache_that_never_hits_steps_aside_and_looks_again():
    cache = answers()
    for number in range(SAMPLE):
        cache.lookup(b"%d" % number)

    assert cache.key(b"head", b"") is None
    for _ in range(ASIDE - 1):
        cache.key(b"head", b"")
    assert cache.key(b"head", b"") is not None
