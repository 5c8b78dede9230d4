"""Keep a limiter's buckets in step with those of other gateways.

Each gateway lets in by its own buckets, at once: a door cannot wait. What it has let in it
tells the store a moment later, which moves the shared bucket on and answers how far that
is from full; that is then the gateway's own. So several gateways may let in too much for
as long as one has not heard of the other, a few milliseconds; that is owed then, and paid
before any of them lets in more. Over a longer time the limit holds.

The store of a follower is its leader, whose own buckets they are; the store of a leader, if
it has one, is a plugin's.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager

import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from prism_core.errors import Overloaded
from prism_core.gateway.callers.limiter import Limiter
from prism_core.protocols import RateStore, Spending

# The store hears of news at once where there was none for so long, else so often.
SHARE_S = 0.02
# Buckets in one exchange: what is more goes with the next.
TOGETHER = 512
# How long an exchange may take, and the pauses after one that failed.
EXCHANGE_S = 0.5
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 2.0
# Moves no bucket; answered, it says that the store works.
PROBE = Spending("probe/store", 1.0, 0)

log = structlog.get_logger("prism.rates")


class Sharing(Collector):
    """Exchanges news with a store; see `sharing`.

    Parameters
    ----------
    limiter
        Whose buckets are shared.
    store
        Where the shared ones are.
    strict
        While the store does not answer nobody is let in; else each gateway limits by itself.

    Attributes
    ----------
    counts
        How often an exchange had a result: ``ok`` or ``failed``.
    """

    def __init__(self, limiter: Limiter, store: RateStore, *, strict: bool) -> None:
        self.counts: Counter[str] = Counter(ok=0, failed=0)
        self._limiter = limiter
        self._store = store
        self._strict = strict
        self._pause_s = 0.0  # 0: it works
        self._arrived = asyncio.Event()
        limiter.share(self._arrived.set)

    async def run(self) -> None:
        """Exchange news until cancelled. Where there is none and the store works, nothing runs."""
        while True:
            if not self._pause_s:
                await self._arrived.wait()
            began = time.monotonic()
            told = await self.exchange()
            pause_s = self._pause_s or began + SHARE_S - time.monotonic()
            if pause_s > 0 and told < TOGETHER:
                await asyncio.sleep(pause_s)

    async def exchange(self) -> int:
        """Tell the store what was let in, and learn what it knows of the same buckets; return of how many.

        What could not be told never is: perhaps it was heard, and told twice it would count
        twice. Here it counts in any case.
        """
        spendings = self._limiter.take_news(TOGETHER)
        if not self._limiter.has_news:
            self._arrived.clear()
        try:
            async with asyncio.timeout(EXCHANGE_S):
                ahead_s = await self._store.spend(spendings or [PROBE])
            self._limiter.learn(zip(spendings, ahead_s, strict=False))
        except Exception as error:
            self._failed(f"{type(error).__name__}: {error}")
            return 0
        self._worked()
        return len(spendings)

    def _failed(self, reason: str) -> None:
        self.counts["failed"] += 1
        if not self._pause_s:
            instead = "nobody is let in" if self._strict else "each server limits by itself"
            log.warning("rates.store_down", error=reason, meanwhile=instead)
        self._pause_s = min(LONGEST_PAUSE_S, self._pause_s * 2 or FIRST_PAUSE_S)
        self._limiter.take_news(sys.maxsize)  # it must not pile up
        if self._strict:
            self._limiter.outage = Overloaded(
                "The server cannot tell how often it was asked.",
                hint="The store of rate limits does not answer; try again later.",
                details={"retry_after_s": self._pause_s},
            )

    def _worked(self) -> None:
        self.counts["ok"] += 1
        if self._pause_s:
            log.info("rates.store_back")
        self._pause_s = 0.0
        self._limiter.outage = None

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics for `prometheus_client`."""
        calls = CounterMetricFamily("prism_rate_store", "Exchanges with the store.", labels=("result",))
        for result, count in self.counts.items():
            calls.add_metric((result,), count)
        yield calls
        works = GaugeMetricFamily("prism_rate_store_up", "1 while the store of rate limits answers.")
        works.add_metric((), float(not self._pause_s))
        yield works


@asynccontextmanager
async def sharing(limiter: Limiter, store: RateStore, *, strict: bool) -> AsyncIterator[Sharing]:
    """Share ``limiter``'s buckets through ``store``; the first exchange says whether it works."""
    shared = Sharing(limiter, store, strict=strict)
    await shared.exchange()
    task = asyncio.create_task(shared.run(), name="rates")
    try:
        yield shared
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class LeaderStore:
    """The buckets of the leader, as a follower reaches them.

    Parameters
    ----------
    ask
        Sends the leader a question: its number, and what was let in.
    """

    def __init__(self, ask: Callable[[int, list[Spending]], None]) -> None:
        self._ask = ask
        self._asked: dict[int, asyncio.Future[Sequence[float]]] = {}
        self._last_id = 0

    async def spend(self, spendings: Sequence[Spending]) -> Sequence[float]:
        """See `RateStore.spend`."""
        self._last_id += 1
        number = self._last_id
        self._asked[number] = asyncio.get_running_loop().create_future()
        try:
            self._ask(number, list(spendings))
            return await self._asked[number]
        finally:
            del self._asked[number]

    def hear(self, number: int, ahead_s: Sequence[float], reason: str) -> None:
        """Take the leader's answer; with a ``reason`` it cannot tell."""
        future = self._asked.get(number)
        if future is None or future.done():
            return
        if reason:
            future.set_exception(ConnectionError(reason))
        else:
            future.set_result(ahead_s)
