"""Who is at the other end of a connection, as gRPC tells it and as everybody else does."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import unquote


@lru_cache(4096)
def address_of(peer: str) -> str:
    """Return the address in ``ipv4:127.0.0.1:4711`` or ``ipv6:%5B::1%5D:4711``; "" of anything else.

    A listener for both families sees addresses of the old one as ``::ffff:127.0.0.1``: it is told as
    the other listeners tell it.
    """
    scheme, _, rest = unquote(peer).partition(":")
    if scheme not in ("ipv4", "ipv6"):
        return ""
    host = rest.rpartition(":")[0].strip("[]")
    try:
        address = ip_address(host)
    except ValueError:
        return ""
    return str(getattr(address, "ipv4_mapped", None) or address)
