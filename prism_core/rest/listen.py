"""Listening sockets, made by us: port 0 works, and a taken port is an error with a next step."""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from prism_core.errors import ConfigError

BACKLOG = 2048


@contextmanager
def listen_together(host: str, port: int, flag: str, count: int) -> Iterator[list[socket.socket]]:
    """Open ``count`` sockets that listen on one port, for as many processes.

    On Linux the kernel spreads connections over them (SO_REUSEPORT). Elsewhere all are one
    socket, and whoever is quicker accepts.

    Raises
    ------
    ConfigError
        As `listen`.
    """
    if count > 1 and not hasattr(socket, "AF_UNIX"):
        raise ConfigError(
            f"gateways: {count} cannot work here: this system passes no sockets on to another process.",
            hint="Leave `gateways` at 1.",
        )
    shared = count > 1 and sys.platform == "linux"
    with ExitStack() as stack:
        # A port that is shared could be taken twice, by two servers: first without.
        first = stack.enter_context(listen(host, port, flag))
        listeners = [first]
        if shared:
            host, port = address_of(first)
            first.close()
            listeners = [stack.enter_context(listen(host, port, flag, shared=True)) for _ in range(count)]
        else:
            listeners += [stack.enter_context(first.dup()) for _ in range(count - 1)]
        yield listeners


def listen(host: str, port: int, flag: str, *, shared: bool = False) -> socket.socket:
    """Return a socket that listens on ``host`` and ``port``; 0 picks a free port.

    Parameters
    ----------
    flag
        The command-line flag that chooses the port, for the hint.
    shared
        Other sockets of this account may listen there too.

    Raises
    ------
    ConfigError
        If the address cannot be used.
    """
    family, address = _resolve(host, port)
    # With the protocol named: asyncio sets TCP_NODELAY only then, and without it an answer waits 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(address)
        # Already here: two processes may bind one port as long as neither listens.
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise _explain(error, host, port, flag) from error
    return listener


def _resolve(host: str, port: int) -> tuple[int, tuple[str, int]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        raise ConfigError(
            f"The host {host!r} is not an address of this machine: {error}.",
            hint="Use --host 0.0.0.0 for all interfaces, or --host 127.0.0.1 for this machine only.",
        ) from error
    family, _, _, _, address = found[0]
    return family, address  # type: ignore[return-value]


def _explain(error: OSError, host: str, port: int, flag: str) -> ConfigError:
    if error.errno == errno.EADDRINUSE:
        return ConfigError(
            f"Port {port} on {host} is taken by another program.",
            hint=f"Choose another with {flag}, for instance {flag} 0 for a free one; "
            "`prism list` shows whether it is a PRISM server.",
            details={"host": host, "port": port},
        )
    if error.errno == errno.EACCES:
        return ConfigError(
            f"Port {port} may not be used by this account.", hint=f"Choose one above 1023 with {flag}."
        )
    return ConfigError(
        f"The server cannot listen on {host}, port {port}: {error.strerror}.",
        hint="Use --host 0.0.0.0 for all interfaces, or --host 127.0.0.1 for this machine only.",
    )


def address_of(listener: socket.socket) -> tuple[str, int]:
    """Return the host and the port that a socket listens on."""
    host, port = listener.getsockname()[:2]
    return host, port
