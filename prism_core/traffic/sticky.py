"""What of a request keeps it with one share of a split.

| sticky key    | requests that stay together                                                      |
|---------------|----------------------------------------------------------------------------------|
| `header:NAME` | those with the same value of a header                                            |
| `cookie:NAME` | those with the same value of a cookie                                            |
| `cookie`      | those of one browser: who comes without our cookie is given one                  |
| `key`         | those of one API key, link or person who has signed in                           |
| `address`     | those of one address; of IPv6 the first 64 bits, which are one household's       |

A request that has none is drawn for itself, as all are where nothing is sticky; but for `cookie`, with
which its answer sets one.
"""

from __future__ import annotations

import re
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Protocol

# What HTTP calls a token: the name of a header or a cookie (RFC 9110, 5.6.2).
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
# The cookie that we give. It says nothing of who has it, and scripts of pages cannot read it.
OWN_COOKIE = "prism_sticky"
_ATTRIBUTES = "Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax"
_MAPPED = b"\0" * 10 + b"\xff\xff"


class Sender(Protocol):
    """Who sent a request; ``headers`` are by their lower-case names."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The request's headers."""

    @property
    def address(self) -> str:
        """Whose request it is."""

    @property
    def caller(self) -> str:
        """The id of its key, link or person, "" where nobody is known."""


# Returns the key of a request, empty where it has none.
KeyOf = Callable[[Sender], bytes]


def key_of(sticky: str) -> KeyOf | None:
    """Return what finds the keys of requests; None where each is drawn for itself.

    Raises
    ------
    ValueError
        If there is no such sticky key.
    """
    kind, colon, name = sticky.partition(":")
    named = bool(_TOKEN.fullmatch(name))
    if kind == "header" and named:
        return partial(_header, name.lower())
    if kind == "cookie" and named:
        return partial(_cookie, name)
    if not colon and kind in _PLAIN:
        return _PLAIN[kind]
    raise ValueError(f"{sticky!r} is no sticky key: header:NAME, cookie:NAME, cookie, key or address.")


def new_cookie() -> str:
    """Return the cookie for a browser that has none, as a request would have it: ``prism_sticky=...``."""
    return f"{OWN_COOKIE}={secrets.token_urlsafe(12)}"


def giving(cookie: str) -> bytes:
    """Return the header line of an answer that gives a browser this cookie."""
    return f"set-cookie: {cookie}; {_ATTRIBUTES}\r\n".encode()


def cookies(headers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the cookies of a request, in their order; a name may come more than once."""
    for pair in headers.get("cookie", "").split(";"):
        name, _, value = pair.partition("=")
        value = value.strip()
        quoted = len(value) > 1 and value[0] == value[-1] == '"'
        yield name.strip(), value[1:-1] if quoted else value


def household(address: str) -> bytes:
    """Return what the addresses of one household share: all of IPv4, the first 64 bits of IPv6."""
    if ":" not in address:
        return address.encode()
    try:
        packed = socket.inet_pton(socket.AF_INET6, address.partition("%")[0])
    except OSError:  # no address: what a proxy calls the client, perhaps
        return address.encode()
    if packed.startswith(_MAPPED):
        return socket.inet_ntoa(packed[12:]).encode()
    return packed[:8]


def _header(name: str, sender: Sender) -> bytes:
    return sender.headers.get(name, "").encode()


def _cookie(name: str, sender: Sender) -> bytes:
    return next((value for found, value in cookies(sender.headers) if found == name), "").encode()


def _caller(sender: Sender) -> bytes:
    return sender.caller.encode()


def _address(sender: Sender) -> bytes:
    return household(sender.address)


_PLAIN: Mapping[str, KeyOf | None] = {
    "": None,
    "cookie": partial(_cookie, OWN_COOKIE),
    "key": _caller,
    "address": _address,
}
