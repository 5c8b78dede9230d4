"""`CacheContract`: what every cache must do, as tests to inherit.

For example::

    class TestRedis(CacheContract):
        def open(self):
            return open_redis(RedisConfig(url="redis://127.0.0.1"))

A cache may always forget; so the tests store one small value at a time and look at once.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from contextlib import AbstractAsyncContextManager

import pytest

from prism_core.protocols import Cache

KEY = bytes(range(16))


class CacheContract:
    """Tests of a `Cache`. Subclass, and say how it is opened.

    Attributes
    ----------
    ttl_s
        The shortest time to live that it can tell from none.
    """

    ttl_s: float = 0.05

    pytestmark = pytest.mark.asyncio

    @abstractmethod
    def open(self) -> AbstractAsyncContextManager[Cache]:
        """Return the cache, to be entered; empty, or with entries of other keys only."""

    async def later(self, seconds: float) -> None:
        """Let ``seconds`` pass. Override it where the cache's clock can be turned by hand."""
        await asyncio.sleep(seconds)

    async def test_what_is_not_there_is_none(self) -> None:
        """A miss is no error."""
        async with self.open() as cache:
            assert await cache.get(KEY) is None

    @pytest.mark.parametrize("value", [b"", b"x", bytes(range(256)), b"\xff" * 100_000])
    async def test_a_value_comes_back(self, value: bytes) -> None:
        """Byte for byte; an empty one is a value too."""
        async with self.open() as cache:
            await cache.put(KEY, value, 60)

            assert await cache.get(KEY) == value

    async def test_any_bytes_are_a_key(self) -> None:
        """Keys are digests: zeros, line ends and invalid text occur."""
        keys = [bytes(16), b"\r\n" * 8, b"\xff\xfe" * 8, KEY, KEY[::-1]]
        async with self.open() as cache:
            for number, key in enumerate(keys):
                await cache.put(key, bytes([number]), 60)

            assert [await cache.get(key) for key in keys] == [bytes([n]) for n in range(len(keys))]

    async def test_the_last_value_wins(self) -> None:
        """Put replaces."""
        async with self.open() as cache:
            await cache.put(KEY, b"old", 60)
            await cache.put(KEY, b"new", 60)

            assert await cache.get(KEY) == b"new"

    async def test_no_time_to_live_is_no_end(self) -> None:
        """None is not zero."""
        async with self.open() as cache:
            await cache.put(KEY, b"value", None)

            assert await cache.get(KEY) == b"value"

    async def test_a_value_ends(self) -> None:
        """After its time to live it is a miss."""
        async with self.open() as cache:
            await cache.put(KEY, b"value", self.ttl_s)
            await self.later(self.ttl_s * 2)

            assert await cache.get(KEY) is None

    async def test_clear_forgets_all(self) -> None:
        """And leaves a working cache."""
        async with self.open() as cache:
            await cache.put(KEY, b"value", 60)
            await cache.clear()
            assert await cache.get(KEY) is None

            await cache.put(KEY, b"again", 60)
            assert await cache.get(KEY) == b"again"

    async def test_many_at_once(self) -> None:
        """Values never change places."""
        keys = [number.to_bytes(16, "big") for number in range(50)]
        async with self.open() as cache:
            await asyncio.gather(*(cache.put(key, key * 2, 60) for key in keys))
            values = await asyncio.gather(*(cache.get(key) for key in keys))

            assert all(value in (None, key * 2) for key, value in zip(keys, values, strict=True))
            assert any(values)
