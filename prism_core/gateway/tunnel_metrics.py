"""Which tunnels are up, and how often they had to be published again, as metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

import attrs
from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from prism_core.gateway.views import TunnelInfo


@attrs.frozen(eq=False)
class TunnelStates(Collector):
    """Tunnels, asked when somebody looks.

    Parameters
    ----------
    infos
        Returns what is known of those that are open, or should be.
    republished
        How often each came up again.
    """

    infos: Callable[[], Iterable[TunnelInfo]]
    republished: Counter[str]

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics for `prometheus_client`."""
        states = GaugeMetricFamily("prism_tunnel_up", "Whether links are reached.", labels=("tunnel",))
        for info in self.infos():
            states.add_metric((info.name,), float(info.state == "up"))
        yield states
        counts = CounterMetricFamily(
            "prism_tunnel_republished", "How often a tunnel came up again.", labels=("tunnel",)
        )
        for name, count in self.republished.items():
            counts.add_metric((name,), count)
        yield counts
