"""Several limiters and a store: each lets in at once, together they keep the limit."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_core.errors import Overloaded, RateLimited
from prism_core.gateway.callers.limiter import Limiter
from prism_core.gateway.callers.sharing import TOGETHER, LeaderStore, Sharing, sharing
from prism_core.protocols import Spending
from prism_core.rates import Rate
from prism_core.specs import Call
from prism_core.testing import Clock

HERE = "203.0.113.7"
CALL = Call("churn", "predict", {}, HERE, 0)


class Store:
    """Buckets of a further limiter, as a store; it may be down."""

    def __init__(self, clock):
        self.limiter = Limiter({}, clock=clock)
        self.asked = []
        self.down = False
        self.answered = asyncio.Event()

    async def spend(self, spendings):
        await asyncio.sleep(0)
        if self.down:
            raise ConnectionError("down")
        self.asked.append(list(spendings))
        self.answered.set()
        return self.limiter.spend(spendings)


def let_in(limiter, of=50):
    count = 0
    for _ in range(of):
        try:
            limiter.knock(HERE)
            limiter.admit(CALL)
        except RateLimited:
            continue
        count += 1
    return count


def gateways(text, clock, count=2):
    store = Store(clock)
    made = [Limiter({"address": Rate.parse(text)}, clock=clock) for _ in range(count)]
    return store, made, [Sharing(limiter, store, strict=False) for limiter in made]


async def test_what_one_lets_in_another_does_not():
    store, (one, two), (first, second) = gateways("10/s", Clock())
    let_in(one, of=6)
    await first.exchange()
    let_in(two, of=1)
    await second.exchange()

    assert let_in(two) == 3
    assert store.asked[0] == [Spending(f"address/{HERE}", 0.1, 6)]


async def test_what_was_too_much_is_owed():
    """Two that have not heard of each other let in twice the burst; who has heard waits for as long."""
    clock = Clock()
    _, (one, two), (first, second) = gateways("10/s", clock)
    assert let_in(one) + let_in(two) == 20
    await first.exchange()
    await second.exchange()

    clock.now += 1.0
    assert let_in(two) == 0
    with pytest.raises(RateLimited) as caught:
        two.knock(HERE)
    clock.now += caught.value.details["retry_after_s"] + 1e-6
    assert let_in(two) == 1


# Which of them, how many requests, the time before, and whether it tells of them.
PAUSES = st.sampled_from([0.0, 0.01, 0.05, 0.3])
STEPS = st.tuples(st.integers(0, 2), st.integers(1, 8), PAUSES, st.booleans())


@given(st.lists(STEPS, max_size=60))
async def test_together_they_keep_the_limit(steps):
    """However the load moves between them: a burst each and the rate once, if all is told in time."""
    clock = Clock()
    _, limiters, shared = gateways("20/s burst 10", clock, count=3)
    total = 0
    for which, count, pause, tells in steps:
        for limiter, one in zip(limiters, shared, strict=True):
            if pause and limiter.has_news:
                await one.exchange()
        clock.now += pause
        total += let_in(limiters[which], of=count)
        if tells:
            await shared[which].exchange()

    assert total <= 3 * 10 + 20 * (clock.now - 1000.0) + 0.01


async def test_news_that_comes_during_an_exchange_is_told_with_the_next():
    store, (one, _), (first, _) = gateways("100/s", Clock())
    let_in(one, of=2)
    exchange = asyncio.ensure_future(first.exchange())
    await asyncio.sleep(0)
    let_in(one, of=3)
    await exchange
    await first.exchange()

    assert [[spending.count for spending in asked] for asked in store.asked] == [[2], [3]]
    assert one.buckets["address"].ahead_s(HERE, 1000.0) == pytest.approx(0.05)


async def test_many_buckets_go_in_several_exchanges():
    _, (one, _), (first, _) = gateways("1/s", Clock())
    for number in range(TOGETHER + 10):
        one.knock(f"10.0.{number // 250}.{number % 250}")

    assert [await first.exchange(), await first.exchange()] == [TOGETHER, 10]


async def test_a_store_that_is_down_lets_each_go_on_by_itself():
    clock = Clock()
    store, (one, two), (first, _) = gateways("10/s", clock)
    store.down = True
    let_in(one, of=5)
    await first.exchange()

    assert not one.has_news
    assert first.counts == {"ok": 0, "failed": 1}
    assert let_in(one) + let_in(two) == 5 + 10


async def test_a_strict_server_lets_nobody_in_while_the_store_is_down():
    store, limiter = Store(Clock()), Limiter({"address": Rate.parse("10/s")}, clock=Clock())
    shared = Sharing(limiter, store, strict=True)
    store.down = True
    await shared.exchange()
    with pytest.raises(Overloaded, match="cannot tell how often") as caught:
        limiter.knock(HERE)
    store.down = False
    await shared.exchange()

    assert caught.value.details["retry_after_s"] > 0
    assert let_in(limiter) == 10


async def test_news_is_told_without_being_asked_for():
    store, limiter = Store(Clock()), Limiter({"address": Rate.parse("10/s")}, clock=Clock())
    async with sharing(limiter, store, strict=False):
        store.answered.clear()
        let_in(limiter, of=3)
        await store.answered.wait()

    assert store.asked[-1] == [Spending(f"address/{HERE}", 0.1, 3)]


async def test_nothing_is_asked_while_nothing_comes():
    store = Store(Clock())
    async with sharing(Limiter({"address": Rate.parse("10/s")}), store, strict=False):
        await asyncio.sleep(0.1)

    assert len(store.asked) == 1  # whether it works


async def test_a_leader_passes_on_what_its_followers_let_in():
    clock = Clock()
    store, (leader, _), (shared, _) = gateways("10/s", clock)

    assert leader.spend([Spending(f"address/{HERE}", 0.1, 4)]) == [pytest.approx(0.4)]
    await shared.exchange()
    assert store.asked == [[Spending(f"address/{HERE}", 0.1, 4)]]
    assert let_in(leader) == 6


async def test_a_follower_asks_its_leader():
    questions = []
    store = LeaderStore(lambda number, spendings: questions.append((number, spendings)))
    asking = asyncio.ensure_future(store.spend([Spending("a", 1.0, 2)]))
    await asyncio.sleep(0)
    store.hear(7, [1.0], "")  # of a question that was given up
    store.hear(1, [2.0], "")

    assert await asking == [2.0]
    assert questions == [(1, [Spending("a", 1.0, 2)])]


async def test_a_follower_hears_that_its_leader_cannot_tell():
    store = LeaderStore(lambda number, spendings: store.hear(number, [], "down"))

    with pytest.raises(ConnectionError, match="down"):
        await store.spend([])
