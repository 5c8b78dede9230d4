"""What a relay counts, in Prometheus' text format, on loopback."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from prism_core.plugin import ConfigError
from prism_tunnel.relay.hall import Hall

HELP = {
    "clients": "Connections of clients that have logged in.",
    "names": "Names that are published now.",
    "visitors": "Open connections of visitors.",
    "visitors_total": "Connections of visitors so far.",
    "broken_total": "Answers that were cut off, or never came.",
    "logins_refused_total": "Logins with a wrong token.",
    "refused_total": "Requests that the relay answered by itself, by status.",
    "requests_total": "Requests for a client's names.",
    "limited_total": "Requests refused because of a client's limits.",
    "bytes_total": "Bytes for a client's names, in from visitors and out to them.",
    "connections": "Visitors' connections that ask for a client's names.",
}


class Counts:
    """A collector: reads the hall's plain numbers when it is asked."""

    def __init__(self, hall: Hall) -> None:
        self._hall = hall

    def collect(self) -> Iterator[Any]:
        """Yield the metrics."""
        hall, counts = self._hall, dict(self._hall.counts)
        yield _gauge("clients", len(hall.publishers))
        yield _gauge("names", len(hall.table))
        yield _gauge("visitors", len(hall.visitors))
        yield _counter("visitors", counts.get("visitors", 0))
        yield _counter("broken", counts.get("broken", 0))
        yield _counter("logins_refused", counts.get("logins_refused", 0))
        statuses = {
            key.removeprefix("refused_"): n for key, n in counts.items() if key.startswith("refused_")
        }
        yield _counter_of("refused", ("status",), (((status,), n) for status, n in statuses.items()))
        yield from self._of_clients()

    def _of_clients(self) -> Iterator[Any]:
        told = self._hall.all_traffic().items()
        yield _counter_of("requests", ("client",), (((name,), one.requests) for name, one in told))
        yield _counter_of("limited", ("client",), (((name,), one.refused) for name, one in told))
        both = [((name, "in"), one.bytes_in) for name, one in told]
        both += [((name, "out"), one.bytes_out) for name, one in told]
        yield _counter_of("bytes", ("client", "direction"), both)
        from prometheus_client.core import GaugeMetricFamily

        family = GaugeMetricFamily("prism_relay_connections", HELP["connections"], labels=("client",))
        for name, one in told:
            family.add_metric((name,), one.connections)
        yield family


def _gauge(name: str, value: float) -> Any:
    from prometheus_client.core import GaugeMetricFamily

    return GaugeMetricFamily(f"prism_relay_{name}", HELP[name], value)


def _counter(name: str, value: float) -> Any:
    from prometheus_client.core import CounterMetricFamily

    return CounterMetricFamily(f"prism_relay_{name}", HELP[f"{name}_total"], value)


def _counter_of(name: str, labels: tuple[str, ...], values: Iterable[tuple[tuple[str, ...], float]]) -> Any:
    from prometheus_client.core import CounterMetricFamily

    family = CounterMetricFamily(f"prism_relay_{name}", HELP[f"{name}_total"], labels=labels)
    for key, value in values:
        family.add_metric(key, value)
    return family


@contextmanager
def serving_metrics(hall: Hall, port: int | None) -> Iterator[int | None]:
    """Answer ``GET /metrics`` on 127.0.0.1 from a thread; yield the port."""
    if port is None:
        yield None
        return
    from prometheus_client import CollectorRegistry, start_http_server

    registry = CollectorRegistry()
    registry.register(Counts(hall))
    try:
        server, thread = start_http_server(port, "127.0.0.1", registry)
    except OSError as error:
        raise ConfigError(
            f"Metrics cannot be served on 127.0.0.1:{port}: {error.strerror}", hint="Take another port."
        ) from error
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
