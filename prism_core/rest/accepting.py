"""Accept connections on listeners that we made, and drain them: uvicorn's protocol without its main loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import structlog
import uvicorn

from prism_core.errors import Overloaded
from prism_core.rest.errors import problem_response
from prism_core.rest.listen import BACKLOG
from prism_core.rest.onewrite import OneWriteProtocol
from prism_core.rest.predict import PredictFront
from prism_core.rest.shortcut import Heads, PredictProtocol

log = structlog.get_logger(__name__)

# Long enough that a client with pauses keeps its connection; those are closed at once when the server stops.
KEEP_ALIVE_S = 75


@asynccontextmanager
async def accepting(
    apps: Mapping[socket.socket, Any], hurry: asyncio.Event, drain_s: float
) -> AsyncIterator[Accepting]:
    """Answer requests on each listener with its application; at the end drain all of them together."""
    servers = Accepting({listener: _server(app) for listener, app in apps.items()})
    ticking = asyncio.create_task(_tick(servers.all))
    try:
        for listener in apps:
            await servers.cover(listener)
        yield servers
    finally:
        for listener in apps:
            listener.close()
        await _drain(servers.all, hurry, drain_s)
        ticking.cancel()


class Accepting:
    """The servers of some listeners. Each accepts through a copy of its listener, which can be closed."""

    def __init__(self, servers: Mapping[socket.socket, uvicorn.Server]) -> None:
        self.all = list(servers.values())
        self._servers = servers

    async def cover(self, listener: socket.socket) -> None:
        """Accept on ``listener``."""
        await self._servers[listener].startup(sockets=[listener.dup()])

    def uncover(self, listener: socket.socket) -> None:
        """Accept no more there; what has been accepted is answered."""
        server = self._servers[listener]
        for one in server.servers:
            one.close()
        server.servers = []


def _server(app: Any) -> uvicorn.Server:
    config = uvicorn.Config(
        LastResort(app),
        http=_protocol(app),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nothing here believes a header about who is calling
        timeout_keep_alive=KEEP_ALIVE_S,
        backlog=BACKLOG,
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    server.servers = []
    return server


def _protocol(app: Any) -> Any:
    return partial(PredictProtocol, Heads(app)) if isinstance(app, PredictFront) else OneWriteProtocol


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


async def _drain(servers: Sequence[uvicorn.Server], hurry: asyncio.Event, drain_s: float) -> None:
    """Accept no more, close idle connections, wait for the answers that are due, at most ``drain_s``."""
    for server in servers:
        for accepting in server.servers:
            accepting.close()
        for connection in list(server.server_state.connections):
            connection.shutdown()
    if waiting := {task for server in servers for task in server.server_state.tasks}:
        answered: asyncio.Future[Any] = asyncio.gather(*waiting, return_exceptions=True)
        hurried: asyncio.Future[Any] = asyncio.ensure_future(hurry.wait())
        await asyncio.wait({answered, hurried}, timeout=drain_s, return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        if not answered.done():
            log.warning("server.cut", requests=sum(not task.done() for task in waiting))
            answered.cancel()
            await asyncio.gather(answered, return_exceptions=True)
    for server in servers:
        for connection in list(server.server_state.connections):
            connection.transport.close()
