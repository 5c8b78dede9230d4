"""Routed requests as metrics: by the version that was chosen, and by who answered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import attrs
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from prism_core.gateway.tallies import SECONDS, Histogram
from prism_core.gateway.traffic.kinds import RoutedCall

# Calls that are counted in one go: about half a millisecond.
BATCH = 512
# Who answered where a route's value did.
VALUE = "value"


@attrs.define(eq=False)
class CountedCalls(Collector):
    """What the routed requests of all gateways add up to.

    Arms are versions, and forgotten with them; codes are those of errors: what callers send is in no label.
    """

    _pending: list[RoutedCall] = attrs.field(factory=list, init=False)
    _answers: Counter[tuple[str, str, str, str]] = attrs.field(factory=Counter, init=False)
    _failures: Counter[tuple[str, str, str]] = attrs.field(factory=Counter, init=False)
    _times: dict[tuple[str, str], Histogram] = attrs.field(factory=dict, init=False)

    def hear(self, call: RoutedCall) -> None:
        """Count a request, now or later."""
        self._pending.append(call)
        if len(self._pending) >= BATCH:
            self._count()

    def forget(self, version: str) -> None:
        """Drop what belongs to a removed version, ``churn/3``."""
        self._count()
        self._answers = Counter({key: n for key, n in self._answers.items() if version not in key[1:3]})
        self._failures = Counter({key: n for key, n in self._failures.items() if key[1] != version})
        self._times = {key: times for key, times in self._times.items() if key[1] != version}

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics for `prometheus_client`."""
        self._count()
        answers = CounterMetricFamily(
            "prism_routed", "Requests by a route.", labels=("model", "arm", "answered", "code")
        )
        for answered, count in self._answers.items():
            answers.add_metric(answered, count)
        failures = CounterMetricFamily(
            "prism_fallback", "Requests that the chosen did not answer.", labels=("model", "arm", "reason")
        )
        for failed, count in self._failures.items():
            failures.add_metric(failed, count)
        times = HistogramMetricFamily(
            "prism_routed_seconds", "From the choice to the answer.", labels=("model", "arm")
        )
        for arm, one in self._times.items():
            times.add_metric(arm, one.buckets(), one.total)
        yield from (answers, failures, times)

    def _count(self) -> None:
        pending, self._pending = self._pending, []
        for call in pending:
            answered = call.answered or (VALUE if call.code == "ok" else "")
            self._answers[call.model, call.arm, answered, call.code] += 1
            if call.failure:
                self._failures[call.model, call.arm, call.failure] += 1
            times = self._times.get((call.model, call.arm))
            if times is None:
                times = self._times[call.model, call.arm] = Histogram.of(SECONDS)
            times.observe(call.total_s)
