"""The leader's own buckets, as its followers reach them, are a store like any other."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest

from prism_core.gateway.callers.limiter import Limiter
from prism_core.gateway.callers.sharing import LeaderStore
from prism_core.testing import Clock, RateStoreContract


class TestLeaderStore(RateStoreContract):
    @pytest.fixture(autouse=True)
    def _leader(self):
        self.clock = Clock()
        self.leader = Limiter({}, clock=self.clock)

    @asynccontextmanager
    async def open(self):
        store = LeaderStore(lambda number, spent: store.hear(number, self.leader.spend(spent), ""))
        yield store

    async def later(self, seconds):
        self.clock.advance(seconds)
