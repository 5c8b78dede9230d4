"""Take connections off a listener: no more than there is room for, and calm when descriptors run out.

The event loops have code for that too. uvloop's gives the whole listener up at the first error
that is not a client's, asyncio's knows no bound.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import structlog

from prism_core.errors import Overloaded
from prism_core.rest.errors import problem_response
from prism_core.rest.patience import LINGER_S
from prism_core.rest.room import Room

log = structlog.get_logger(__name__)

# Connections taken in one turn of the event loop.
BURST = 64
# How long to take none when the system has nothing left for one more.
REST_S = 0.1
# In a full house: how long those that are about to leave have, before others are asked to.
SETTLE_S = 0.01
# Between two lines in the log about the same trouble.
QUIET_S = 60.0
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


def refusal() -> bytes:
    """Return what a client is told for whom there is no room."""
    error = Overloaded(
        "This server has as many connections as it takes.",
        hint="Try again; limits.max_connections is the server's setting.",
        details={"retry_after_s": 1},
    )
    status, headers, body = problem_response(error)
    lines = b"".join(b"%b: %b\r\n" % line for line in [*headers, (b"connection", b"close")])
    return b"HTTP/1.1 %d Service Unavailable\r\n%b\r\n%b" % (status, lines, body)


class Intake:
    """Accepts on one listener.

    Parameters
    ----------
    listener
        A socket that listens and does not block.
    make
        Makes the protocol of a connection.
    room
        Who else is there.
    tls
        Returns the context of a new connection; None where connections are not encrypted.
    handshake_s
        How long a client may take to agree on keys.
    """

    def __init__(
        self,
        listener: socket.socket,
        make: Callable[[], asyncio.Protocol],
        room: Room,
        *,
        tls: Callable[[], ssl.SSLContext] | None = None,
        handshake_s: float = 10.0,
    ) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener = listener
        self._make = make
        self._room = room
        self._tls = tls
        self._handshake_s = handshake_s if tls else None
        self._shutdown_s = LINGER_S if tls else None
        self._loop = asyncio.get_running_loop()
        self._resting: asyncio.TimerHandle | None = None
        self._told: dict[str, float] = {}
        self._open = self._settled = False

    def open(self) -> None:
        """Begin to accept."""
        self._open = True
        self._loop.add_reader(self._listener, self._accept)

    def close(self) -> None:
        """Accept no more. What waits in the kernel waits for whoever listens there too."""
        if self._open:
            self._open = False
            self._rest_no_more()
            self._loop.remove_reader(self._listener)

    def _accept(self) -> None:
        settled, self._settled = self._settled, False
        for _ in range(BURST):
            full = self._room.full
            if full and (not settled or self._room.make()):
                self._settled = True
                self._rest(SETTLE_S)
                return
            try:
                connection, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._trouble(error)
                return
            connection.setblocking(False)
            if full:
                self._turn_away(connection)
            else:
                self._take(connection)

    def _take(self, connection: socket.socket) -> None:
        protocol = self._make()
        self._room.arriving.add(protocol)
        task = self._loop.create_task(self._connect(connection, protocol))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, connection: socket.socket, protocol: asyncio.Protocol) -> None:
        try:
            await self._loop.connect_accepted_socket(
                lambda: protocol,
                connection,
                ssl=self._tls() if self._tls else None,
                ssl_handshake_timeout=self._handshake_s,
                ssl_shutdown_timeout=self._shutdown_s,
            )
        except (OSError, ssl.SSLError, TimeoutError):
            pass  # what a client does wrong here is its own affair, and no line in the log
        finally:
            self._room.arriving.discard(protocol)

    def _turn_away(self, connection: socket.socket) -> None:
        """Say in one packet that there is no room; behind TLS nothing can be said."""
        self._tell("server.full", connections=self._room.limit)
        with connection, suppress(OSError):
            if not self._tls:
                connection.recv(65536)  # closing with something unread would be a reset
                connection.send(refusal())

    def _trouble(self, error: OSError) -> None:
        self._tell("server.cannot_accept", reason=str(error))
        if error.errno in _EXHAUSTED:
            self._room.make()
        self._rest(REST_S)

    def _rest(self, seconds: float) -> None:
        self._loop.remove_reader(self._listener)
        self._resting = self._loop.call_later(seconds, self.open)

    def _rest_no_more(self) -> None:
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None

    def _tell(self, event: str, **facts: Any) -> None:
        now = self._loop.time()
        if now - self._told.get(event, -QUIET_S) >= QUIET_S:
            self._told[event] = now
            log.warning(event, hint="See limits.max_connections, and `ulimit -n`.", **facts)
