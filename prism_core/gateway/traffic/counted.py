"""Routed requests as metrics: by the version that was chosen, and by who answered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import attrs
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from prism_core.gateway.tallies import SECONDS, Histogram
from prism_core.gateway.traffic.kinds import RoutedCall

# Calls that are counted in one go: about half a millisecond.
BATCH = 512
# Who answered where a route's value did.
VALUE = "value"
# The labels of both counters.
ANSWERED, FAILED = ("model", "arm", "answered", "code"), ("model", "arm", "reason")
# Model, arm, who answered, code and failure of a call.
Answers = tuple[str, str, str, str, str]


@attrs.define(eq=False)
class CountedCalls(Collector):
    """What the routed requests of all gateways add up to.

    Arms are versions, and forgotten with them; codes are those of errors: what callers send is in no label.
    """

    _pending: list[RoutedCall] = attrs.field(factory=list, init=False)
    _answers: dict[Answers, int] = attrs.field(factory=dict, init=False)
    _times: dict[tuple[str, str], Histogram] = attrs.field(factory=dict, init=False)

    def hear(self, call: RoutedCall) -> None:
        """Count a request, now or later."""
        self._pending.append(call)
        if len(self._pending) >= BATCH:
            self._count()

    def forget(self, version: str) -> None:
        """Drop what belongs to a removed version, ``churn/3``."""
        self._count()
        self._answers = {key: count for key, count in self._answers.items() if version not in key[1:3]}
        self._times = {key: times for key, times in self._times.items() if key[1] != version}

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics for `prometheus_client`."""
        self._count()
        answers, failures = _summed(self._answers)
        yield _counter("prism_routed", "Requests by a route.", ANSWERED, answers)
        yield _counter("prism_fallback", "Requests that the chosen did not answer.", FAILED, failures)
        times = HistogramMetricFamily(
            "prism_routed_seconds", "From the choice to the answer.", labels=("model", "arm")
        )
        for arm, one in self._times.items():
            times.add_metric(arm, one.buckets(), one.total)
        yield times

    def _count(self) -> None:
        pending, self._pending = self._pending, []
        answers, found = self._answers, self._times
        for call in pending:
            key = (call.model, call.arm, call.answered, call.code, call.failure)
            answers[key] = answers.get(key, 0) + 1
            times = found.get(key[:2])
            if times is None:
                times = found[key[:2]] = Histogram.of(SECONDS)
            times.observe(call.total_s)


def _summed(answers: Mapping[Answers, int]) -> tuple[Counter[tuple[str, ...]], Counter[tuple[str, ...]]]:
    """Return requests by who answered them, and those that the chosen version did not answer by why."""
    answered: Counter[tuple[str, ...]] = Counter()
    failed: Counter[tuple[str, ...]] = Counter()
    for (model, arm, who, code, failure), count in answers.items():
        answered[model, arm, who or (VALUE if code == "ok" else ""), code] += count
        if failure:
            failed[model, arm, failure] += count
    return answered, failed


def _counter(name: str, text: str, labels: Sequence[str], counts: Mapping[tuple[str, ...], int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for values, count in counts.items():
        family.add_metric(values, count)
    return family
