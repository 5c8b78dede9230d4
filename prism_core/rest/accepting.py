"""Accept connections on listeners that we made, and drain them: uvicorn's protocol without its main loop."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import attrs
import structlog
import uvicorn

from prism_core.errors import Overloaded
from prism_core.rest.access import Accessed
from prism_core.rest.bounded import BoundedProtocol
from prism_core.rest.errors import problem_response
from prism_core.rest.heads import Heads
from prism_core.rest.intake import Intake
from prism_core.rest.predict import PredictFront
from prism_core.rest.requests import Identified
from prism_core.rest.room import Room
from prism_core.rest.shortcut import PredictProtocol
from prism_core.settings import LimitSettings

log = structlog.get_logger(__name__)


@attrs.frozen(eq=False)
class Listening:
    """What is served on a listener, for how many, and how it is encrypted, if it is."""

    app: Any
    room: Room
    tls: Callable[[], ssl.SSLContext] | None = None


@asynccontextmanager
async def accepting(
    listening: Mapping[socket.socket, Listening], hurry: asyncio.Event, limits: LimitSettings
) -> AsyncIterator[Accepting]:
    """Answer requests on each listener with its application; at the end drain all of them together."""
    servers = Accepting(listening, limits)
    ticking = asyncio.create_task(_tick(servers.all))
    await asyncio.sleep(0)  # the first answer has a date
    try:
        for listener in listening:
            servers.cover(listener)
        yield servers
    finally:
        for listener in listening:
            servers.uncover(listener)
            listener.close()
        servers.cut = await _drain(servers.all, hurry, limits.drain_s)
        ticking.cancel()
        for server, face in zip(servers.all, listening.values(), strict=True):
            face.room.forget(server.server_state.connections)


class Accepting:
    """The servers of some listeners.

    Attributes
    ----------
    cut
        Whether requests were cut off at the end, because their answers did not come in time.
    """

    cut = False

    def __init__(self, listening: Mapping[socket.socket, Listening], limits: LimitSettings) -> None:
        self.all: list[uvicorn.Server] = []
        self._intakes: dict[socket.socket, Intake] = {}
        for listener, face in listening.items():
            server = _server(face.app, limits)
            self.all.append(server)
            face.room.guests.append(server.server_state.connections)
            make = partial(_connection, server)
            self._intakes[listener] = Intake(
                listener, make, face.room, tls=face.tls, handshake_s=limits.head_s
            )

    def cover(self, listener: socket.socket) -> None:
        """Accept on ``listener``."""
        self._intakes[listener].open()

    def uncover(self, listener: socket.socket) -> None:
        """Accept no more there; what has been accepted is answered."""
        self._intakes[listener].close()


def _connection(server: uvicorn.Server) -> asyncio.Protocol:
    make: Callable[..., asyncio.Protocol] = server.config.http_protocol_class
    return make(config=server.config, server_state=server.server_state, app_state={})


def _server(app: Any, limits: LimitSettings | None = None) -> uvicorn.Server:
    limits = limits or LimitSettings()
    config = uvicorn.Config(
        Identified(_noted(app)),
        http=_protocol(app, limits),
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",  # what is wrong with a request is told to its sender, and no line of ours
        access_log=False,
        server_header=False,
        headers=[("x-content-type-options", "nosniff")],
        proxy_headers=False,  # nothing here believes a header about who is calling
    )
    config.load()
    server = uvicorn.Server(config)
    return server


def _noted(app: Any) -> Any:
    """Return what answers with ``app``, whatever happens; where there is an access log, it says so."""
    answering = LastResort(app)
    access = app.access if isinstance(app, PredictFront) else None
    return answering if access is None else Accessed(answering, access)


def _protocol(app: Any, limits: LimitSettings) -> Any:
    if isinstance(app, PredictFront):
        return partial(PredictProtocol, Heads(app, limits.max_headers), limits)
    return partial(BoundedProtocol, limits)


class LastResort:
    """Turns what an application lets escape into a problem document, unless its answer has begun."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one ASGI scope."""
        try:
            await self._app(scope, receive, send)
            return
        except asyncio.CancelledError:
            failure: Exception = Overloaded("The server is stopping.", details={"retry_after_s": 5})
        except Exception as error:
            failure = error
        status, headers, body = problem_response(failure)
        with suppress(RuntimeError):  # uvicorn's word for an answer that has begun; it closes the connection
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})


async def _tick(servers: Sequence[uvicorn.Server]) -> None:
    # uvicorn's own loop wakes ten times a second for each server; all it is needed for is the Date header.
    while True:
        for server in servers:
            await server.on_tick(0)
        await asyncio.sleep(1)


async def _drain(servers: Sequence[uvicorn.Server], hurry: asyncio.Event, drain_s: float) -> bool:
    """Close idle connections, wait for the answers that are due, at most ``drain_s``.

    Returns
    -------
    bool
        Whether some of them had to be cut off.
    """
    cut = False
    for server in servers:
        for connection in list(server.server_state.connections):
            connection.shutdown()
    if waiting := {task for server in servers for task in server.server_state.tasks}:
        answered: asyncio.Future[Any] = asyncio.gather(*waiting, return_exceptions=True)
        hurried: asyncio.Future[Any] = asyncio.ensure_future(hurry.wait())
        await asyncio.wait({answered, hurried}, timeout=drain_s, return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        if cut := not answered.done():
            log.warning("server.cut", requests=sum(not task.done() for task in waiting))
            answered.cancel()
            await asyncio.gather(answered, return_exceptions=True)
    for server in servers:
        for connection in list(server.server_state.connections):
            connection.transport.close()
    return cut
