"""What all connections of a relay share: its settings, who publishes what, who asks how much, and counts."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from prism_core.plugin import Rate
from prism_tunnel.relay.buckets import Bucket
from prism_tunnel.relay.clients import Client, Clients
from prism_tunnel.relay.heads import Network, is_within
from prism_tunnel.relay.naming import Wanted, host_of, wanted
from prism_tunnel.relay.table import Publication, Table


@attrs.frozen
class RelaySettings:
    """What ``prism relay serve`` was told. A port is 0 for any, None for none.

    Parameters
    ----------
    domain
        Names are put before it: ``NAME.domain``.
    host, http_host
        Where to listen for laptops, and for visitors; "" is everywhere, or for visitors as for laptops.
    public
        The base URL of the domain as visitors write it, where that is not told by the ports.
    paths
        Whether ``domain/NAME/...`` leads to NAME too, and is what laptops are told.
    proxies
        Whose ``X-Forwarded-For`` is believed.
    head_s, idle_s, reach_s, answer_s
        How long a visitor may take for a head, keep a connection that carries nothing, wait for a laptop to
        take the connection, and for its answer.
    most_visitors, most_per_address
        Visitors' connections, all together and from one address.
    """

    domain: str
    host: str = ""
    http_host: str = ""
    ssh_port: int = 2222
    http_port: int | None = 80
    https_port: int | None = 443
    public: str = ""
    paths: bool = False
    proxies: tuple[Network, ...] = ()
    cert: Path | None = None
    key: Path | None = None
    metrics_port: int | None = None
    head_s: float = 10.0
    idle_s: float = 75.0
    reach_s: float = 10.0
    answer_s: float = 300.0
    drain_s: float = 20.0
    most_visitors: int = 10_000
    most_per_address: int = 500


@attrs.frozen
class Refusal:
    """An answer of the relay's own. ``retry_s``: when it may be worth another try."""

    status: int
    code: str
    message: str
    hint: str = ""
    retry_s: float = 0.0
    location: bytes = b""


@attrs.frozen
class Found:
    """Who answers a request, and what they are asked."""

    publication: Publication
    wanted: Wanted


UNKNOWN = Refusal(404, "link_not_found", "Nothing is published under this address.")


@attrs.define(eq=False)
class Traffic:
    """What one client's visitors do, together."""

    requests: int = 0
    refused: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    connections: int = 0
    asking: Bucket | None = None
    moving: Bucket | None = None

    def limit(self, client: Client) -> None:
        """Take the limits that hold for the client from now on."""
        rate: Rate | None = client.limit
        self.asking = Bucket(rate.count / rate.period_s, rate.burst) if rate else None
        # A second's worth may come at once: less would pause every large body.
        self.moving = Bucket(client.bytes_s, client.bytes_s) if client.bytes_s else None


class Hall:
    """Where visitors and laptops meet.

    Attributes
    ----------
    visitors
        Open connections of visitors.
    publishers
        Connections of laptops that have logged in.
    """

    def __init__(
        self, settings: RelaySettings, clients: Clients, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.settings = settings
        self.clients = clients
        self.clock = clock
        self.base = ""
        self.table = Table()
        self.visitors: set[Any] = set()
        self.publishers: set[Any] = set()
        self.addresses: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.draining = False
        self.empty = asyncio.Event()
        # Connections of laptops that have not logged in, by address.
        self.strangers: Counter[str] = Counter()
        self._traffic: defaultdict[str, Traffic] = defaultdict(Traffic)

    def leave(self, visitor: Any, address: str) -> None:
        """Forget a visitor's connection."""
        self.visitors.discard(visitor)
        self.addresses[address] -= 1
        if self.addresses[address] <= 0:
            del self.addresses[address]
        if not self.visitors:
            self.empty.set()

    def enter(self, visitor: Any, address: str) -> bool:
        """Count a visitor's connection; return whether there is room for it."""
        self.visitors.add(visitor)
        self.addresses[address] += 1
        self.counts["visitors"] += 1
        self.empty.clear()
        few = self.addresses[address] <= self.settings.most_per_address
        believed = is_within(address, self.settings.proxies)
        return (few or believed) and len(self.visitors) <= self.settings.most_visitors

    def now(self) -> float:
        """Return Unix seconds, which expiries are told in."""
        return time.time()

    def no_more_stranger(self, address: str) -> None:
        """Count one less of those that have not logged in."""
        self.strangers[address] -= 1
        if self.strangers[address] <= 0:
            del self.strangers[address]

    def traffic(self, client: str) -> Traffic:
        """Return what a client's visitors do."""
        return self._traffic[client]

    def all_traffic(self) -> dict[str, Traffic]:
        """Return what every client's visitors did."""
        return dict(self._traffic)

    def url_of(self, name: str) -> str:
        """Return the base URL under which visitors reach a name."""
        if self.settings.paths:
            return f"{self.base}/{name}"
        scheme, _, rest = self.base.partition("://")
        return f"{scheme}://{name}.{rest}"

    def secure_url(self, host_header: bytes, target: bytes) -> bytes:
        """Return where the same is under https, b"" for a host that is not ours."""
        host = host_of(host_header) or ""
        domain = self.settings.domain
        if host != domain and not host.endswith(f".{domain}"):
            return b""
        port = self.base.partition("://")[2][len(domain) :]
        return f"https://{host}{port}".encode() + target

    def find(self, host_header: bytes, target: bytes) -> Found | Refusal:
        """Return who answers a request, or what it is refused with."""
        host = host_of(host_header)
        found = wanted(host, target, self.settings.domain, paths=self.settings.paths) if host else None
        if found is None:
            return UNKNOWN
        publication = self.table.find(found.name)
        if publication is None:
            return self._away(found.name)
        return Found(publication, found)

    def _away(self, name: str) -> Refusal:
        if not self.clients.is_known(name):
            return UNKNOWN
        return Refusal(
            503, "tunnel_failed", "The server behind this link is not connected now.",
            "Try again in a while; it may be asleep.", retry_s=5,
        )  # fmt: skip

    def admit(self, client: str) -> Refusal | None:
        """Count a request for a client, and refuse it where it asks too often."""
        traffic = self._traffic[client]
        short = traffic.asking.take(self.clock()) if traffic.asking else 0.0
        if not short:
            traffic.requests += 1
            return None
        traffic.refused += 1
        return Refusal(
            429, "rate_limited", "This link's relay lets in no more requests for it now.", retry_s=short
        )

    def move(self, client: str, *, received: int = 0, sent: int = 0) -> float:
        """Count bytes for a client, and return for how many seconds no more should be read."""
        traffic = self._traffic[client]
        traffic.bytes_in += received
        traffic.bytes_out += sent
        return traffic.moving.owe(self.clock(), received + sent) if traffic.moving else 0.0
