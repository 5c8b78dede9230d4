"""Second questions of all gateways, as a metric of the leader."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import attrs
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from prism_core.gateway.traffic.kinds import Hedged


@attrs.frozen(eq=False)
class HedgeCounts(Collector):
    """How many second questions there were, and why not."""

    _counts: Counter[tuple[str, str, str]] = attrs.field(factory=Counter)

    def hear(self, record: Hedged) -> None:
        """Count one."""
        self._counts[record.model, record.arm, record.what] += 1

    def forget(self, version: str) -> None:
        """Drop what belongs to a removed version, ``churn/3``."""
        for key in [key for key in self._counts if key[1] == version]:
            del self._counts[key]

    def collect(self) -> Iterator[Metric]:
        """Yield the metric for `prometheus_client`."""
        text = "Second questions of hedged requests."
        family = CounterMetricFamily("prism_hedges", text, labels=("model", "arm", "what"))
        for labels, count in self._counts.items():
            family.add_metric(labels, count)
        yield family
