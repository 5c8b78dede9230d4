"""Numbers for Prometheus, and call records for observers.

`Metrics.record` is on the way of every prediction, so it only appends. Records are
aggregated when a few hundred have come or when somebody looks; while nothing arrives,
nothing runs.
"""

from __future__ import annotations

import asyncio
import collections
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import attrs
import structlog
from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from prism_core.gateway.tallies import Histogram, VersionCalls, statistics_of
from prism_core.gateway.traffic.counted import CountedCalls
from prism_core.gateway.traffic.hedge_counts import HedgeCounts
from prism_core.serving import Statistics
from prism_core.specs import CallRecord

# Records that are aggregated in one go: about 0.5 ms of the event loop.
BATCH = 512
# How long a few records may wait before observers get them.
HAND_OVER_S = 1.0
# How long an observer may take for a batch, and how many records may wait for it.
OBSERVER_S = 10.0
HELD_RECORDS = 50_000

log = structlog.get_logger("prism.observe")


@attrs.define(eq=False)
class Calls(Collector):
    """The call records of all versions, as metrics."""

    versions: dict[tuple[str, int], VersionCalls] = attrs.field(factory=dict)

    def add(self, records: Iterable[CallRecord], now: float) -> None:
        """Count records that have come since the last time, ``now`` in Unix seconds."""
        versions = self.versions
        for record in records:
            key = (record.model, record.version)
            calls = versions.get(key)
            if calls is None:
                calls = versions[key] = VersionCalls()
            calls.add(record)
            calls.last = now

    def statistics(self, model: str, version: int) -> Statistics:
        """Return what the records of a version add up to."""
        return statistics_of(model, version, self.versions.get((model, version)))

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics for `prometheus_client`."""
        yield self._counter("prism_requests", "Predictions answered.", "code", _counts)
        yield self._counter("prism_cache", "How answers were had.", "result", lambda c: c.caches)
        yield self._histogram("prism_queue_seconds", "Time until the model began.", lambda c: c.queue)
        yield self._histogram("prism_compute_seconds", "Time in the model.", lambda c: c.compute)
        yield self._histogram("prism_batch_rows", "Rows of the execution that answered.", lambda c: c.batch)

    def _counter(
        self, name: str, text: str, label: str, counts: Callable[[VersionCalls], Mapping[str, float]]
    ) -> Metric:
        family = CounterMetricFamily(name, text, labels=("model", "version", label))
        for (model, version), calls in self.versions.items():
            for value, count in counts(calls).items():
                family.add_metric((model, str(version), value), count)
        return family

    def _histogram(self, name: str, text: str, histogram: Callable[[VersionCalls], Histogram]) -> Metric:
        family = HistogramMetricFamily(name, text, labels=("model", "version"))
        for (model, version), calls in self.versions.items():
            one = histogram(calls)
            if any(one.counts):
                family.add_metric((model, str(version)), one.buckets(), one.total)
        return family


def _counts(calls: VersionCalls) -> dict[str, float]:
    return {code: outcome.count for code, outcome in calls.outcomes.items()}


@attrs.frozen(eq=False)
class ReadyReplicas(Collector):
    """How many replicas are ready, asked when somebody looks.

    ``count`` yields model, version and number.
    """

    count: Callable[[], Iterable[tuple[str, int, int]]]

    def collect(self) -> Iterator[Metric]:
        """Yield the gauge for `prometheus_client`."""
        family = GaugeMetricFamily("prism_replicas_ready", "Replicas ready.", labels=("model", "version"))
        for model, version, ready in self.count():
            family.add_metric((model, str(version)), ready)
        yield family


@attrs.frozen(eq=False)
class Refused(Collector):
    """Requests that did not come in, by the limit that was reached or the error's code."""

    counts: collections.Counter[str] = attrs.field(factory=collections.Counter)

    def collect(self) -> Iterator[Metric]:
        """Yield the metric for `prometheus_client`."""
        family = CounterMetricFamily("prism_refused", "Requests refused at the door.", labels=("reason",))
        for reason, count in self.counts.items():
            family.add_metric((reason,), count)
        yield family


class Metrics:
    """The gateway's numbers, in a registry of their own. Made by `open_metrics`."""

    def __init__(self, observers: Mapping[str, Any]) -> None:
        self.registry = CollectorRegistry()
        self.calls = Calls()
        self.registry.register(self.calls)
        self.refused = Refused()
        self.registry.register(self.refused)
        self.routed = CountedCalls()
        self.registry.register(self.routed)
        self.hedges = HedgeCounts()
        self.registry.register(self.hedges)
        self.restarts = Counter(
            "prism_replica_restarts", "Replicas replaced.", ["model", "version"], registry=self.registry
        )
        self.observers = dict(observers)
        self.muted: dict[str, str] = {}
        self._pending: list[CallRecord] = []
        self._held: list[CallRecord] = []
        self._timer: asyncio.TimerHandle | None = None
        self._arrived = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def record(self, record: CallRecord) -> None:
        """Take note of an answered call. Must stay quick: it is on the way of every prediction."""
        pending = self._pending
        pending.append(record)
        if len(pending) >= BATCH:
            self.flush()
        elif self.observers and self._timer is None:
            self._timer = self._loop.call_later(HAND_OVER_S, self.flush)

    def flush(self) -> None:
        """Aggregate what has been recorded, and hand it on to the observers."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        pending, self._pending = self._pending, []
        self.calls.add(pending, time.time())
        if self.observers and pending:
            self._held = [*self._held, *pending][-HELD_RECORDS:]
            self._arrived.set()

    def scrape(self) -> tuple[bytes, str]:
        """Return the metrics as Prometheus reads them, and their media type."""
        self.flush()
        return generate_latest(self.registry), "text/plain; version=0.0.4; charset=utf-8"

    def forget(self, model: str, version: int) -> None:
        """Drop what belongs to a removed version."""
        self.flush()
        self.calls.versions.pop((model, version), None)
        self.restarts.remove(model, str(version))
        self.routed.forget(f"{model}/{version}")
        self.hedges.forget(f"{model}/{version}")

    async def run(self) -> None:
        """Hand records to the observers until cancelled."""
        while True:
            await self._arrived.wait()
            await self.hand_over()

    async def hand_over(self) -> None:
        """Give the observers what waits for them."""
        self._arrived.clear()
        held, self._held = self._held, []
        await asyncio.gather(*(self._observe(name, held) for name in tuple(self.observers)))

    async def _observe(self, name: str, records: Sequence[CallRecord]) -> None:
        try:
            async with asyncio.timeout(OBSERVER_S):
                await self.observers[name].observe(records)
        except Exception as error:
            self.observers.pop(name, None)
            self.muted[name] = f"{type(error).__name__}: {error}"
            log.exception("observer.muted", name=name)


@asynccontextmanager
async def open_metrics(observers: Mapping[str, Any]) -> AsyncIterator[Metrics]:
    """Run a `Metrics`; observers get what there is before it ends."""
    metrics = Metrics(observers)
    task = asyncio.create_task(metrics.run())
    try:
        yield metrics
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        metrics.flush()
        if metrics.observers:
            await metrics.hand_over()
