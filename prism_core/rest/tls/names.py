"""Which names and addresses a certificate of the local authority may have, and has.

The authority's own certificate is constrained to them: whoever trusts it to reach a laptop
in the same house trusts it for nothing else, even if its key is stolen.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable

import attrs

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Names that no public authority gives out (RFC 6761, 6762, 8375, and what routers at home use).
SUFFIXES = ("localhost", "local", "lan", "home", "home.arpa", "internal")
NETWORKS = tuple(
    ipaddress.ip_network(network)
    for network in (
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "169.254.0.0/16",
        "100.64.0.0/10",  # carriers' and overlay networks such as Tailscale
        "::1/128",
        "fc00::/7",
        "fe80::/10",
    )
)
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@attrs.frozen
class Names:
    """Host names and addresses, sorted; ``outside`` are those that the authority may not vouch for."""

    hosts: tuple[str, ...]
    addresses: tuple[Address, ...]
    outside: tuple[str, ...] = ()


@attrs.frozen
class Permitted:
    """The host names and suffixes, and the networks, that an authority may vouch for."""

    hosts: tuple[str, ...]
    networks: tuple[Network, ...]


def local_names(
    hostname: str, addresses: Iterable[Address], permitted: Permitted, announced: str = ""
) -> Names:
    """Return what a certificate of this machine has in it.

    Parameters
    ----------
    hostname
        The machine's own, with or without a domain.
    addresses
        Those of its interfaces.
    permitted
        What the authority may vouch for.
    announced
        The name that it announces besides, without its ``.local``.
    """
    label, full = hostname.lower().partition(".")[0], hostname.lower().rstrip(".")
    hosts = {"localhost", *({label, f"{label}.local", full} if _LABEL.fullmatch(label) else ())}
    hosts |= {f"{announced}.local"} if announced else set()
    wanted = {ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1"), *addresses}
    inside = {host for host in hosts if is_below(host, permitted.hosts)}
    near = {address for address in wanted if any(address in network for network in permitted.networks)}
    outside = sorted(hosts - inside) + sorted(map(str, wanted - near))
    return Names(
        tuple(sorted(inside)),
        tuple(sorted(near, key=lambda one: (one.version, int(one)))),
        tuple(outside),
    )


def permitted_here(hostname: str, addresses: Iterable[Address]) -> Permitted:
    """Return what an authority that is made on this machine may vouch for.

    That is what is local, and the addresses that the machine has now: in some houses, as
    at universities, every machine has a public one.
    """
    label = hostname.lower().partition(".")[0]
    hosts = (*SUFFIXES, label) if _LABEL.fullmatch(label) and label not in SUFFIXES else SUFFIXES
    public = {one for one in addresses if not any(one in network for network in NETWORKS)}
    own = sorted(public, key=lambda one: (one.version, int(one)))
    return Permitted(hosts, (*NETWORKS, *map(ipaddress.ip_network, own)))


def is_below(host: str, suffixes: Iterable[str]) -> bool:
    """Return whether ``host`` is one of ``suffixes`` or lies below one."""
    return any(host == suffix or host.endswith(f".{suffix}") for suffix in suffixes)


def found_here() -> tuple[str, tuple[Address, ...]]:
    """Return this machine's host name and the addresses of its interfaces."""
    import psutil

    found = set()
    for addresses in psutil.net_if_addrs().values():
        for one in addresses:
            if one.family in (socket.AF_INET, socket.AF_INET6):
                address = ipaddress.ip_address(one.address.partition("%")[0])
                if not address.is_link_local:  # of no use without the name of an interface
                    found.add(address)
    return socket.gethostname(), tuple(found)
