"""Whose request it is: the address at the other end, or whom a trusted proxy names.

A header about the caller is only as good as who wrote it. Each proxy appends the address
that it was asked from, so the list is walked from its end: what a trusted proxy has
appended is believed, and the first address that is no trusted proxy's is the caller. What
stands before it may have been made up and is not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network

# Header -> how its value is read. A proxy writes one of them and passes the other on as it
# came, so the owner says which.
HEADERS = ("x-forwarded-for", "forwarded")
# Answers that are remembered; a hostile client can make up headers, then all are learned anew.
REMEMBERED = 4096
# More hops than any chain of proxies has; what a longer list says is not looked at.
HOPS = 32

# One `name=value` of RFC 7239, its value a token or a quoted string; unquoted IPv6 is let pass.
_PAIR = r"""\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)=("(?:[^"\\]|\\.)*"|[!#$%&'*+.^_`|~0-9A-Za-z:\[\]-]*)\s*"""
_PAIRS = re.compile(_PAIR)
_ELEMENT = re.compile(f"(?:{_PAIR})?(?:;(?:{_PAIR})?)*")


class Proxies:
    """The proxies that may say for whom they ask.

    Parameters
    ----------
    trusted
        Addresses and networks of proxies: ``10.0.0.0/8``, ``::1``.
    header
        One of `HEADERS`: the one that these proxies write.

    Raises
    ------
    ValueError
        If one of them is neither.
    """

    def __init__(self, trusted: Iterable[str], header: str = HEADERS[0]) -> None:
        self._networks = tuple(map(network_of, trusted))
        self._header = header
        self._read = _forwarded if header == "forwarded" else _x_forwarded_for
        self._peers: dict[str, bool] = {}
        self._known: dict[tuple[str, str], str] = {}

    def of(self, client: str, headers: Mapping[str, str]) -> str:
        """Return the address of whoever asks.

        Parameters
        ----------
        client
            The address at the other end of the connection.
        headers
            By lower-case name; those that came several times joined with a comma.
        """
        said = headers.get(self._header)
        if said is None or not self._trusts_peer(client):
            return client
        key = (client, said)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            found = self._known[key] = self._walk(client, said)
        return found

    def _walk(self, client: str, said: str) -> str:
        caller = client
        for hop in self._read(said):
            address = address_of(hop)
            if address is None:
                break  # whoever wrote this is the last that is known
            caller = str(address)
            if not self._trusts(address):
                break
        return caller

    def _trusts_peer(self, client: str) -> bool:
        trusted = self._peers.get(client)
        if trusted is None:
            if len(self._peers) >= REMEMBERED:
                self._peers.clear()
            address = address_of(client)
            trusted = self._peers[client] = address is not None and self._trusts(address)
        return trusted

    def _trusts(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self._networks)


def network_of(text: str) -> Network:
    """Read an address or a network; an IPv4 network that is written as IPv6 is an IPv4 network.

    Raises
    ------
    ValueError
        If it is neither, or has bits beyond its prefix.
    """
    try:
        network = ip_network(text)
    except ValueError as error:
        raise ValueError(f"expected an address or a network such as 10.0.0.0/8: {error}.") from None
    inner = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    return ip_network((inner, network.prefixlen - 96)) if inner and network.prefixlen >= 96 else network


def address_of(text: str) -> IPv4Address | IPv6Address | None:
    """Return the address in ``1.2.3.4``, ``1.2.3.4:5``, ``::1``, ``[::1]`` or ``[::1]:5``, None for all else.

    An IPv4 address that is written as IPv6 is an IPv4 address; a zone (``fe80::1%eth0``) is left out.
    """
    if text.startswith("["):
        text, bracket, port = text[1:].partition("]")
        if not bracket or not (port == "" or _is_port(port)) or ":" not in text:
            return None
    elif text.count(":") == 1:
        text, _, port = text.partition(":")
        if not _is_port(f":{port}"):
            return None
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def subject_of(address: str) -> str:
    """Return what an address is counted as: an IPv6 caller by its /64, which is one household's."""
    if ":" not in address:
        return address
    found = address_of(address)
    if not isinstance(found, IPv6Address):
        return str(found) if found else address
    return f"{IPv6Address(int(found) >> 64 << 64)}/64"


# --- what the headers say, the last hop first --------------------------------------------


def _x_forwarded_for(said: str) -> Iterator[str]:
    return (part.strip() for part in reversed(said.rsplit(",", HOPS)))


def _forwarded(said: str) -> Iterator[str]:
    """Yield the ``for`` of each element, "" where it has none.

    Read from the end too: a client may begin with an open quote, which would swallow what the
    proxy has appended. A comma may also stand inside quotes: then the element begins further left.
    """
    end = begin = len(said)
    for _ in range(HOPS):
        begin = said.rfind(",", 0, begin)
        element = said[begin + 1 : end]
        if _ELEMENT.fullmatch(element):
            yield _for(element)
            end = begin
        if begin < 0:
            return


def _for(element: str) -> str:
    values = [value for name, value in _PAIRS.findall(element) if name.lower() == "for"]
    if len(values) != 1:
        return ""
    return re.sub(r"\\(.)", r"\1", values[0][1:-1]) if values[0].startswith('"') else str(values[0])


def _is_port(text: str) -> bool:
    return text.startswith(":") and text[1:].isascii() and text[1:].isdecimal()
