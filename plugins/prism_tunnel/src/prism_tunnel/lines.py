"""The TCP connection below a tunnel: opened with little patience, and given up soon when nothing comes back.

What TCP does by itself is made for cables: a connection whose other end does not exist any more is believed
in for a quarter of an hour, and a first packet that was lost is sent again after one second, then two, four,
eight, while the network may have come back in between.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import Any

# To each address of a host: its first packet, and the one that is sent again after a second.
DIAL_S = 2.5
# How long what was sent may be without any sign of its arrival. A bad line is not a dead one: with a fiftieth
# of all packets lost, four seconds without one that arrives do not happen.
SILENT_S = 4.0


async def dial(host: str, port: int) -> socket.socket:
    """Return a socket that is connected to a host.

    Raises
    ------
    OSError
        If none of its addresses answers in `DIAL_S`.
    """
    loop = asyncio.get_running_loop()
    fault: OSError = ConnectionError(f"{host} has no address")
    for family, kind, protocol, _, address in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        made = socket.socket(family, kind, protocol)
        made.setblocking(False)
        try:
            async with asyncio.timeout(DIAL_S):
                await loop.sock_connect(made, address)
                return made
        except OSError as error:
            made.close()
            fault = error
        except BaseException:
            made.close()
            raise
    raise fault


def acknowledge_at_once(connection: Any) -> None:
    """Let the kernel acknowledge what comes as soon as it has come.

    OpenSSH's server holds a small packet back until the one before it is acknowledged (Nagle), and a kernel
    that has nothing to send delays that by 40 ms: so long took a request whose head and body came apart.
    A connection that is not as we know it is left as it is.
    """
    found, receive = connection.get_extra_info("socket"), getattr(connection, "_recv_data", None)
    if found is None or receive is None or not hasattr(socket, "TCP_QUICKACK"):
        return

    def received() -> None:
        with suppress(OSError):  # the kernel forgets it again and again
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        receive()

    connection._recv_data = received


def give_up(connection: Any, silent_s: float = SILENT_S) -> None:
    """Let the kernel end a connection whose packets have not been acknowledged for so long.

    An acknowledgement is the other machine's, at once, however much waits on the way: a slow line is not
    taken for a dead one, as it would be by who waits for an answer. Where the system cannot do it, that is
    what is left.
    """
    found = connection.get_extra_info("socket")
    if found is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
        with suppress(OSError):  # it has ended already
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(silent_s * 1000))
