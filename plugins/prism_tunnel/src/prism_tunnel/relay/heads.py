"""Heads as they are sent on: hop-by-hop headers are left out, the visitor's address is put in. No I/O."""

from __future__ import annotations

import ipaddress
import re

import attrs

from prism_tunnel.relay.framing import Framing, Headers, RequestHead, ResponseHead, framing_lines

# RFC 9110 7.6.1, and what is framed anew.
_HOPS = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade",
     b"content-length", b"http2-settings", b"proxy-authenticate", b"proxy-authorization")
)  # fmt: skip
# What a visitor says about itself, which is not believed: whoever reads it behind the relay would.
_CLAIMS = frozenset(
    (b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-port",
     b"x-forwarded-prefix", b"x-real-ip")
)  # fmt: skip
_COOKIE_PATH = re.compile(rb"(;\s*path=)(/[^;]*)", re.IGNORECASE)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@attrs.frozen
class Visit:
    """What the relay knows of a visitor's connection.

    Parameters
    ----------
    address
        Where it comes from.
    scheme
        ``http`` or ``https``, as it spoke.
    proxies
        Whose word is believed, where it comes from one of these itself; else ().
    """

    address: str
    scheme: str
    proxies: tuple[Network, ...] = ()

    @classmethod
    def of(cls, address: str, scheme: str, proxies: tuple[Network, ...]) -> Visit:
        """Return a visit from an address, which may be that of a proxy."""
        return cls(address, scheme, proxies if is_within(address, proxies) else ())


def request_bytes(head: RequestHead, visit: Visit, target: bytes, prefix: str = "") -> bytes:
    """Return a request's head as the laptop gets it."""
    lines = [b"%b %b HTTP/1.1\r\n" % (head.method, target)]
    lines += _kept(head.headers, _named(head.headers) - {b"host"}, _CLAIMS)
    lines += _claims(head, visit, prefix)
    if head.websocket:
        lines.append(b"connection: upgrade\r\nupgrade: websocket\r\n")
    elif head.framing is Framing.NONE and head.all(b"content-length"):
        lines.append(b"content-length: 0\r\n")
    return b"".join([*lines, framing_lines(head.framing, head.length), b"\r\n"])


def _claims(head: RequestHead, visit: Visit, prefix: str) -> list[bytes]:
    """Return who asks, how and for which host, in place of what the visitor claimed."""
    scheme = (head.all(b"x-forwarded-proto") if visit.proxies else []) or [visit.scheme.encode()]
    host = (head.all(b"x-forwarded-host") if visit.proxies else []) or head.all(b"host")
    lines = [
        b"x-forwarded-for: %b\r\n" % _asker(head, visit).encode(),
        b"x-forwarded-proto: %b\r\n" % scheme[-1],
        b"x-forwarded-host: %b\r\n" % host[-1],
    ]
    return [*lines, b"x-forwarded-prefix: %b\r\n" % prefix.encode()] if prefix else lines


def _asker(head: RequestHead, visit: Visit) -> str:
    """Return the address that asks: behind proxies the last that is none of them."""
    if not visit.proxies:
        return visit.address
    said = [one.strip().decode("latin-1") for one in b",".join(head.all(b"x-forwarded-for")).split(b",")]
    for address in reversed(said):
        if not is_within(address, visit.proxies):
            return address if _is_address(address) else visit.address
    return visit.address


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def response_bytes(head: ResponseHead, framing: Framing, *, close: bool, prefix: str = "") -> bytes:
    """Return an answer's head as the visitor gets it, its body framed so."""
    lines = [b"HTTP/1.1 %d %b\r\n" % (head.status, head.reason)]
    kept = _kept(head.headers, _named(head.headers), frozenset())
    lines += [_under(line, prefix) for line in kept] if prefix else kept
    if head.status == 101:
        lines.append(b"connection: upgrade\r\nupgrade: websocket\r\n")
    elif framing is Framing.NONE:
        lines += [b"content-length: %b\r\n" % one for key, one in head.headers if key == b"content-length"][
            :1
        ]
    if close and head.status >= 200:
        lines.append(b"connection: close\r\n")
    return b"".join([*lines, framing_lines(framing, head.length), b"\r\n"])


def _named(headers: Headers) -> frozenset[bytes]:
    """Return the headers that ``Connection`` says are for the next hop alone."""
    values = [value for name, value in headers if name == b"connection"]
    return frozenset(word.strip().lower() for value in values for word in value.split(b","))


def _kept(headers: Headers, named: frozenset[bytes], claims: frozenset[bytes]) -> list[bytes]:
    return [
        b"%b: %b\r\n" % (name, value)
        for name, value in headers
        if name not in _HOPS and name not in claims and name not in named
    ]


def _under(line: bytes, prefix: str) -> bytes:
    """Put a path prefix before what an answer says of paths: where to go, and whose a cookie is."""
    name, _, value = line.partition(b": ")
    if name == b"location" and value.startswith(b"/") and not value.startswith(b"//"):
        return b"location: " + prefix.encode() + value
    if name == b"set-cookie":
        return b"set-cookie: " + _COOKIE_PATH.sub(lambda found: found[1] + prefix.encode() + found[2], value)
    return line


def address_of(peer: object) -> str:
    """Return the address of a socket's peer, "" where it has none."""
    return str(peer[0]) if isinstance(peer, tuple) else ""


def is_within(address: str, networks: tuple[Network, ...]) -> bool:
    """Return whether an address is in one of the networks."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    plain = getattr(found, "ipv4_mapped", None) or found
    return any(plain in network for network in networks if network.version == plain.version)
