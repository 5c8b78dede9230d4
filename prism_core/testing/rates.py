"""`RateStoreContract`: what every store of rate limits must do, as tests to inherit.

For example::

    class TestRedis(RateStoreContract):
        def open(self):
            return open_rates(RedisConfig(url="redis://127.0.0.1"))
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from contextlib import AbstractAsyncContextManager

import pytest

from prism_core.protocols import RateStore, Spending

# Long enough that what passes between two steps of a test does not matter.
HOUR_S = 3600.0


class RateStoreContract:
    """Tests of a `RateStore`. Subclass, and say how it is opened.

    Attributes
    ----------
    short_s
        The shortest time after which a bucket can be told to be full again.
    """

    short_s: float = 0.05

    pytestmark = pytest.mark.asyncio

    @abstractmethod
    def open(self) -> AbstractAsyncContextManager[RateStore]:
        """Return the store, to be entered; all that are opened in one test share their buckets."""

    async def later(self, seconds: float) -> None:
        """Let ``seconds`` pass. Override it where the store's clock can be turned by hand."""
        await asyncio.sleep(seconds)

    async def test_an_unknown_bucket_is_full(self) -> None:
        """And looking at one leaves it so."""
        async with self.open() as store:
            assert await _hours(store, ("address/a", 0)) == [0]
            assert await _hours(store, ("address/a", 0)) == [0]

    async def test_a_bucket_is_moved_on_by_what_was_let_in(self) -> None:
        """Without an end: more may have been let in than it holds."""
        async with self.open() as store:
            assert await _hours(store, ("address/a", 1)) == [1]
            assert await _hours(store, ("address/a", 5)) == [6]

    async def test_each_subject_has_its_bucket(self) -> None:
        """And answers come in the order of the spendings."""
        subjects = ["address/203.0.113.7", "address/2001:db8::/64", "key/key:ab12cd34", "model/a.b-c_d"]
        async with self.open() as store:
            spent = await _hours(store, *((subject, n) for n, subject in enumerate(subjects, 1)))

            assert spent == [1, 2, 3, 4]
            assert await _hours(store, *((subject, 0) for subject in reversed(subjects))) == [4, 3, 2, 1]

    async def test_each_spending_has_its_own_interval(self) -> None:
        """Servers may have been told of different rates."""
        async with self.open() as store:
            await store.spend([Spending("address/a", HOUR_S, 1)])
            (ahead_s,) = await store.spend([Spending("address/a", HOUR_S / 4, 2)])

            assert round(ahead_s / HOUR_S, 2) == 1.5

    async def test_what_is_open_at_once_shares_buckets(self) -> None:
        """Nothing is lost between two who spend together."""

        async def spend(store: RateStore) -> None:
            for _ in range(50):
                await store.spend([Spending("address/a", HOUR_S, 1)])

        async with self.open() as one, self.open() as two:
            await asyncio.gather(spend(one), spend(two))

            assert await _hours(one, ("address/a", 0)) == [100]

    async def test_time_fills_a_bucket(self) -> None:
        """And a full one is not moved on from the past."""
        async with self.open() as store:
            await store.spend([Spending("address/a", self.short_s, 1)])
            await self.later(self.short_s * 2)
            (full_s,) = await store.spend([Spending("address/a", HOUR_S, 0)])
            (ahead_s,) = await store.spend([Spending("address/a", HOUR_S, 1)])

            assert full_s == 0
            assert round(ahead_s / HOUR_S, 2) == 1

    async def test_many_in_one_exchange(self) -> None:
        """As many as the gateway tells at once."""
        async with self.open() as store:
            assert await _hours(store, *((f"address/{n}", 1) for n in range(512))) == [1] * 512


async def _hours(store: RateStore, *spent: tuple[str, int]) -> list[float]:
    """Spend at an interval of an hour; return how far each bucket is from full, in hours."""
    ahead_s = await store.spend([Spending(subject, HOUR_S, count) for subject, count in spent])
    return [round(seconds / HOUR_S, 2) for seconds in ahead_s]
