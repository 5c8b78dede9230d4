"""A small internet: homes behind NAT, a relay with a public address, and a stranger somewhere else.

::

    laptop 192.168.1.2 ── router (NAT) 192.0.2.x ── hub ── relay 198.51.100.10
                          each home has these          └── stranger 203.0.113.20 and .21

Addresses are those kept for documentation, so nothing here can be taken for a real host. Every
home has the same private addresses, as real homes do. The hub also answers for the names of `NAMES`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import attrs

from tests.network import names
from tests.network.line import line
from tests.network.places import Place, making

RELAY = "198.51.100.10"
STRANGER = "203.0.113.20"
# The stranger's neighbour: a second address of the same place.
NEIGHBOUR = "203.0.113.21"
LAPTOP = "192.168.1.2"
RESOLVER = "192.0.2.253"
DOMAIN = "links.example.org"
NAMES = {DOMAIN: RELAY, f"*.{DOMAIN}": RELAY, "ssh.example.org": RELAY}


@attrs.frozen
class Home:
    """A laptop behind a router; ``number`` tells the homes apart."""

    number: int
    laptop: Place
    router: Place
    hub: Place

    @property
    def address(self) -> str:
        """The address that the rest of the world sees."""
        return f"192.0.2.{4 * self.number + 2}"

    def cut(self) -> None:
        """Take the router's line away; the laptop itself notices nothing."""
        self.hub.ip(f"link set home{self.number} down")

    def mend(self) -> None:
        """Give the line back."""
        self.hub.ip(f"link set home{self.number} up")

    def leave(self) -> None:
        """Take the laptop off its network: lid closed, out of the house."""
        self.laptop.ip("link set eth0 down", "addr flush dev eth0")

    def join(self, address: str = LAPTOP) -> None:
        """Give the laptop its network, with an address."""
        gateway = f"{address.rpartition('.')[0]}.1"
        self.laptop.ip(
            "link set eth0 up", f"addr add {address}/24 dev eth0", f"route add default via {gateway}"
        )

    def forget(self) -> None:
        """Let the router forget all connections; their packets are dropped from now on, without a word."""
        wan = f"{self.address}/30"
        back = (f"addr add {wan} dev wan", f"route add default via {self.gateway}")
        self.router.ip(f"addr del {wan} dev wan", *back)

    @property
    def gateway(self) -> str:
        """The hub's address on the line to this home."""
        return f"192.0.2.{4 * self.number + 1}"


@attrs.frozen
class Internet:
    """All places. Made by `internet`; ``delays_by`` says what makes its lines long."""

    hub: Place
    relay: Place
    stranger: Place
    homes: tuple[Home, ...]
    delays_by: str

    @property
    def laptop(self) -> Place:
        """The laptop of the first home."""
        return self.homes[0].laptop


@contextmanager
def internet(homes: int = 1, *, delay_ms: float = 0.0, loss: float = 0.0) -> Iterator[Internet]:
    """Make an internet.

    Parameters
    ----------
    homes
        How many there are.
    delay_ms
        How long a packet takes between a home and the hub, each way.
    loss
        Which part of these packets is lost, each way.
    """
    wanted = ["hub", "relay", "stranger"]
    wanted += [f"{kind}{n}" for n in range(homes) for kind in ("laptop", "router")]
    with ExitStack() as stack:
        hub, relay, stranger, *rest = places = stack.enter_context(making(*wanted))
        forwards(hub)
        joined(hub, relay, "relay", f"{RELAY}/24")
        joined(hub, stranger, "stranger", f"{STRANGER}/24", f"{NEIGHBOUR}/24")
        made = tuple(Home(n, *rest[2 * n : 2 * n + 2], hub) for n in range(homes))
        delays_by = {stack.enter_context(connected(home, delay_ms, loss)) for home in made}
        hub.ip(f"addr add {RESOLVER}/32 dev lo")
        stack.enter_context(names.answering(hub, RESOLVER, NAMES))
        for place in places:
            place.knows(resolv_conf=f"nameserver {RESOLVER}\noptions timeout:1 attempts:2\n")
        yield Internet(hub, relay, stranger, made, delays_by.pop())


def joined(hub: Place, place: Place, name: str, *addresses: str) -> None:
    """Connect a place that has public addresses to the hub, which is their .1."""
    gateway = f"{addresses[0].rpartition('.')[0]}.1"
    hub.ip(
        f"link add {name} type veth peer name eth0 netns {place.name}",
        f"addr add {gateway}/24 dev {name}",
        f"link set {name} up",
    )
    ours = [f"addr add {address} dev eth0" for address in addresses]
    place.ip(*ours, "link set eth0 up", f"route add default via {gateway}")


@contextmanager
def connected(home: Home, delay_ms: float, loss: float) -> Iterator[str]:
    """Connect a home: the laptop to its router, the router to the hub. Tells what delays its packets."""
    router, outside = home.router, f"home{home.number}"
    home.laptop.ip(f"link add eth0 type veth peer name lan netns {router.name}")
    forwards(router)
    with ExitStack() as stack:
        delays_by = "nothing"
        if not delay_ms and not loss:
            veth(home, outside)
        elif netem_works(router):
            veth(home, outside)
            for place, device in ((router, "wan"), (home.hub, outside)):
                netem(place, device, delay_ms, loss)
            delays_by = "tc netem"
        else:
            stack.enter_context(line(router, "wan", home.hub, outside, delay_ms, loss))
            delays_by = "tests.network.line"
        home.hub.ip(f"addr add {home.gateway}/30 dev {outside}", f"link set {outside} up")
        router.ip(
            "addr add 192.168.1.1/24 dev lan",
            "link set lan up",
            f"addr add {home.address}/30 dev wan",
            "link set wan up",
            f"route add default via {home.gateway}",
        )
        translates(router)
        home.join()
        yield delays_by


def veth(home: Home, outside: str) -> None:
    """Lay a line without a delay."""
    home.router.ip(f"link add wan type veth peer name {outside} netns {home.hub.name}")


def netem(place: Place, device: str, delay_ms: float, loss: float) -> None:
    """Let the kernel delay and lose what leaves through a device."""
    words = f"qdisc add dev {device} root netem delay {delay_ms}ms loss {loss:.3%} limit 10000"
    place.run("tc", *words.split())


def netem_works(place: Place) -> bool:
    """Return whether the kernel has what `tc netem` asks for."""
    found = place.run("tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "0ms", check=False)
    if found.returncode == 0:
        place.run("tc", "qdisc", "del", "dev", "lo", "root")
    return found.returncode == 0


def forwards(place: Place) -> None:
    """Make a router of a place."""
    place.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")


def translates(router: Place) -> None:
    """Make it a home's router: private addresses behind one, nothing comes in that was not asked for."""
    # A router that was restarted does not take up a connection in its middle.
    router.run("sh", "-c", "echo 0 > /proc/sys/net/netfilter/nf_conntrack_tcp_loose")
    for rule in (
        "-t nat -A POSTROUTING -o wan -j MASQUERADE",
        "-A FORWARD -m conntrack --ctstate INVALID -j DROP",
        "-A FORWARD -i wan -m conntrack --ctstate NEW -j DROP",
    ):
        router.run("iptables", "-w", *rule.split())


def address_of(host: str) -> str:
    """Return the address of a host as `NAMES` has it; an address is its own."""
    return NAMES.get(host) or NAMES.get(f"*.{host.partition('.')[2]}") or host
