"""What a lane asks: keys, when to step aside, times to live across levels, and the end."""

from __future__ import annotations

import asyncio
import random
from operator import attrgetter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from prism_core.gateway import cache as module
from prism_core.gateway.cache import ASIDE, DIGEST_BYTES, EXACT_BYTES, SAMPLE, USEFUL, AnswerCache, Kept
from prism_core.gateway.lane import Head
from prism_core.gateway.lru import Store
from prism_core.testing import Clock

ANSWER = Kept("application/json", 1, b"[1]")


class Further:
    """A second level that always works, at once."""

    def __init__(self):
        self.values, self.puts = {}, 0

    async def get(self, key):
        return self.values.get(key)

    def keep(self, key, value, ttl_s):
        self.puts += 1
        self.values[key] = value


class Call:
    """Somebody who waits for an answer."""


def answers(second=None, store=None, clock=None, salt=b"version 1", ttl_s=60) -> AnswerCache:
    store = Store(1 << 20) if store is None else store
    return AnswerCache(store, salt, ttl_s, second, clock=clock or Clock())


def answered(cache, key, answer=ANSWER):
    """Have ``answer`` computed for ``key``."""
    assert not cache.join(key, Call())
    assert not cache.land(key, answer)


# --- keys ----------------------------------------------------------------------------------

TEXT = st.text(max_size=8)
HEADS = st.builds(Head, TEXT, TEXT, TEXT, TEXT)
BODIES = st.one_of(st.binary(max_size=40), st.binary(min_size=EXACT_BYTES - 2, max_size=EXACT_BYTES + 40))


@given(HEADS, BODIES, HEADS, BODIES)
@example(Head("json"), b"1", Head("csv"), b"1")
@example(Head(style="a"), b"bc", Head(style="ab"), b"c")
@example(Head(media_type="a\n"), b"", Head(media_type="a", accept=""), b"\n")
def test_requests_have_one_key_exactly_if_they_are_equal(head, body, other_head, other_body):
    cache = answers()
    told = attrgetter("media_type", "accept", "query", "style")
    # Line ends cannot stand in a header or in a query.
    if "\n" in "".join((*told(head), *told(other_head))):
        return

    same = (told(head), body) == (told(other_head), other_body)
    assert (cache.key(head.mark, body) == cache.key(other_head.mark, other_body)) is same


@pytest.mark.parametrize("size", [1, EXACT_BYTES, EXACT_BYTES + 1])
def test_different_versions_have_different_keys(size):
    one, other = answers(salt=b"1"), answers(salt=b"2")

    assert one.key(b"h", b"x" * size) != other.key(b"h", b"x" * size)


def test_a_large_request_is_kept_under_a_digest():
    assert len(answers().key(b"head", b"x" * 1_000_000)) == DIGEST_BYTES


# --- stepping aside --------------------------------------------------------------------------


def ask(cache, body, mark=b"head"):
    """Ask as a lane does, and return how it was answered."""
    key = cache.key(mark, body)
    if key is None:
        return "bypass"
    if cache.lookup(key) is not None:
        return "hit"
    answered(cache, key)
    return "miss"


async def test_a_cache_that_never_hits_steps_aside_and_looks_again():
    cache = answers()
    how = [ask(cache, b"%d" % number) for number in range(SAMPLE + ASIDE + 1)]

    assert how == ["miss"] * SAMPLE + ["bypass"] * ASIDE + ["miss"]
    cache.close()


async def test_where_few_requests_come_it_looks_again_by_the_clock(monkeypatch):
    monkeypatch.setattr(module, "ASIDE_S", 0.0)
    cache = answers()
    for number in range(SAMPLE):
        ask(cache, b"%d" % number)
    assert ask(cache, b"new") == "bypass"
    while ask(cache, b"new") == "bypass":
        await asyncio.sleep(0)


async def test_one_hit_in_fifty_keeps_it():
    cache = answers()
    how = [ask(cache, b"same" if number % 50 == 0 else b"%d" % number) for number in range(20 * SAMPLE)]

    assert "bypass" not in how
    assert how.count("hit") == 20 * SAMPLE // 50 - 1


async def test_requests_that_come_round_again_after_long_are_found():
    """Though no look at a thousand of them sees one twice: what was kept meanwhile adds up."""
    cache, dice = answers(store=Store(1 << 30)), random.Random(7)
    how = [ask(cache, b"%d" % dice.randrange(100_000)) for _ in range(10 * ASIDE)]

    assert how[:ASIDE].count("hit") < SAMPLE * USEFUL
    assert how[-ASIDE:].count("bypass") == 0
    assert how[-ASIDE:].count("hit") > ASIDE / 2
    cache.close()


async def test_after_a_time_of_new_requests_the_old_ones_are_hits_again():
    cache = answers()
    for number in range(SAMPLE):
        ask(cache, b"%d" % number)
    how = [ask(cache, b"same") for _ in range(ASIDE + 2 * SAMPLE)]

    assert how.count("hit") == 2 * SAMPLE - 1
    cache.close()


async def test_requests_that_are_coalesced_are_worth_keeping_it():
    cache = answers()
    for number in range(2 * SAMPLE):
        key = cache.key(b"head", b"%d" % (number // 2))
        cache.lookup(key)
        if cache.join(key, Call()):
            cache.land(key, ValueError("is not kept"))

    assert cache.key(b"head", b"") is not None


async def test_hits_of_the_second_level_are_worth_keeping_it():
    one, second = answers(store=Store(1)), Further()
    other = answers(second, store=Store(1))
    for number in range(SAMPLE):
        ask(answers(second), b"%d" % number)
        key = other.key(b"head", b"%d" % number)
        other.lookup(key)
        await other.fetch(key)
        ask(one, b"%d" % number)

    assert other.key(b"head", b"") is not None
    assert one.key(b"head", b"") is None
    one.close()


# --- two levels ------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, EXACT_BYTES + 1])
async def test_the_second_level_has_digests_and_answers_for_another_server(size):
    second, body = Further(), b"x" * size
    ask(answers(second), body)
    other = answers(second)

    assert {len(key) for key in second.values} == {DIGEST_BYTES}
    assert await other.fetch(other.key(b"head", body)) == ANSWER
    assert ask(other, body) == "hit"


async def test_an_answer_of_the_second_level_is_not_written_there_again():
    second = Further()
    ask(answers(second), b"1")
    other = answers(second)
    key = other.key(b"head", b"1")
    other.join(key, Call())
    other.land(key, await other.fetch(key), computed=False)

    assert second.puts == 1


async def test_an_answer_does_not_live_longer_for_having_been_elsewhere():
    second, clock = Further(), Clock()
    ask(answers(second, clock=clock), b"1")
    clock.advance(50)
    other = answers(second, store=Store(1 << 20, clock), clock=clock)
    key = other.key(b"head", b"1")
    assert await other.fetch(key) == ANSWER

    clock.advance(9)
    assert other.lookup(key) == ANSWER
    clock.advance(2)
    assert other.lookup(key) is None
    assert await other.fetch(key) is None


async def test_a_server_that_keeps_answers_shorter_keeps_them_shorter():
    second, clock = Further(), Clock()
    ask(answers(second, clock=clock, ttl_s=60), b"1")
    hasty = answers(second, store=Store(1 << 20, clock), clock=clock, ttl_s=5)
    key = hasty.key(b"head", b"1")
    await hasty.fetch(key)
    clock.advance(6)

    assert hasty.lookup(key) is None


@pytest.mark.parametrize("value", [b"", b"nonsense", b"\x92\x01\x02", b"\x92\xcb" + b"\xff" * 8])
async def test_what_nobody_can_read_is_a_miss(value):
    second = Further()
    cache = answers(second)
    ask(cache, b"1")
    second.values = dict.fromkeys(second.values, value)

    assert await cache.fetch(cache.key(b"head", b"1")) is None


# --- the end --------------------------------------------------------------------------------


def test_dropping_frees_this_version_s_answers_only():
    store = Store(1 << 20)
    one, other = answers(store=store, salt=b"1"), answers(store=store, salt=b"2")
    ask(one, b"1")
    ask(other, b"1")
    one.drop()

    assert len(store) == 1
    assert (ask(one, b"1"), ask(other, b"1")) == ("miss", "hit")


def test_what_lands_after_the_end_is_not_kept():
    store = Store(1 << 20)
    cache = answers(store=store)
    ask(cache, b"1")
    key = cache.key(b"head", b"2")
    cache.join(key, Call())
    cache.close()
    cache.land(key, ANSWER)

    assert len(store) == 0
    assert store.bytes == 0
