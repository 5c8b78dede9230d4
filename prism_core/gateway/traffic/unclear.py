"""What the leader hears of rules that were neither true nor false: counted, shown, and logged once each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import attrs
import structlog
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from prism_core.gateway.observe import Metrics
from prism_core.gateway.registry import Model
from prism_core.gateway.traffic.desk import Desk
from prism_core.gateway.traffic.kinds import UnclearRule
from prism_core.gateway.traffic.routes import LiveLine, Routes

log = structlog.get_logger("prism.routes")


@attrs.frozen(eq=False)
class UnclearRules(Collector):
    """Counts of all gateways: of each route as it is now, and in all as a metric."""

    _now: dict[str, tuple[int, dict[tuple[int, str], tuple[int, str]]]] = attrs.field(factory=dict)
    _ever: Counter[tuple[str, int, str]] = attrs.field(factory=Counter)

    def hear(self, record: UnclearRule) -> None:
        """Count one."""
        self._ever[record.model, record.rule, record.reason] += 1
        revision, known = self._now.get(record.model, (0, {}))
        if record.revision > revision:
            self._now[record.model] = record.revision, (known := {})
        elif record.revision < revision:
            return  # a follower's last word of the route before
        key = (record.rule, record.reason)
        if key not in known:
            known[key] = 0, record.message
            _tell(record)
        known[key] = known[key][0] + 1, record.message

    def lines(self, model: Model) -> Iterator[LiveLine]:
        """Yield what is known of a model's route as it is now."""
        revision, known = self._now.get(model.name, (0, {}))
        if model.route is None or revision != model.revision:
            return
        for (rule, _), (count, message) in sorted(known.items()):
            reference = model.route.rules[rule - 1].reference(model.name)
            requests = "a request" if count == 1 else f"{count} requests"
            yield LiveLine("rules", f"rule {rule} could not be told for {requests}: {message}", reference)

    def collect(self) -> Iterator[Metric]:
        """Yield the metric for `prometheus_client`."""
        text = "Rules that were neither true nor false for a request."
        family = CounterMetricFamily("prism_route_rule_unclear", text, labels=("model", "rule", "reason"))
        for (model, rule, reason), count in self._ever.items():
            family.add_metric((model, str(rule), reason), count)
        yield family


def watch_rules(routes: Routes, desk: Desk, metrics: Metrics) -> None:
    """Let the owner see which rules cannot be told."""
    unclear = UnclearRules()
    desk.want(UnclearRule, unclear.hear)
    metrics.registry.register(unclear)
    routes.live.append(unclear.lines)


def _tell(record: UnclearRule) -> None:
    facts = {"model": record.model, "rule": record.rule, "reason": record.reason}
    log.info("route.rule_unclear", **facts, why=record.message)
