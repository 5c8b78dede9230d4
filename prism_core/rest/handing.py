"""What a follower does not answer itself is handed to the leader, and its answer back, as they come.

Predictions are answered where they arrive. Model pages, health and the faces that
plugins add are one application, in the leader; it is reached through a Unix socket
in its private run directory.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import httpcore
import msgspec

from prism_core.errors import Overloaded
from prism_core.gateway.callers.door import ENTRY
from prism_core.rest.access import PREDICTION, TOLD, Told
from prism_core.rest.requests import HEADER, REQUEST
from prism_core.rest.streams import disconnected

# Who is calling; believed on the private socket only, which followers alone can reach. And what the
# follower's access log is told of the answer; it goes no further.
CLIENT, ANSWERED = b"x-prism-client", b"x-prism-answered"
# Of one connection, not of the request (RFC 9110, 7.6.1); `expect` has been answered here.
OF_A_CONNECTION = frozenset(
    {b"connection", b"expect", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"upgrade"}
)
# What this server says of every answer itself.
OF_A_SERVER = frozenset({b"date", b"transfer-encoding", b"x-content-type-options", ANSWERED})

Headers = list[tuple[bytes, bytes]]


class HandOn:
    """An ASGI application that asks the leader.

    Parameters
    ----------
    path
        The leader's private socket.
    """

    def __init__(self, path: str) -> None:
        self._pool = httpcore.AsyncConnectionPool(uds=path, max_connections=None, keepalive_expiry=30.0)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request."""
        body = Body(receive)
        tasks = [
            asyncio.ensure_future(self._answer(scope, body, send)),
            asyncio.ensure_future(body.client_left()),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            tasks[1].cancel()
            if not tasks[0].done():
                tasks[0].cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        if isinstance(outcomes[0], Exception):
            raise outcomes[0]

    async def _answer(self, scope: Any, body: Body, send: Any) -> None:
        headers = onward(scope)
        target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
        url = httpcore.URL(scheme=b"http", host=b"leader", port=None, target=target)
        content = body.chunks() if has_body(headers) else body.nothing()
        try:
            async with self._pool.stream(scope["method"], url, headers=headers, content=content) as answer:
                await _pass_back(answer, scope, send)
        except (httpcore.ConnectError, httpcore.RemoteProtocolError, httpcore.NetworkError) as error:
            raise Overloaded("The leading gateway does not answer.", details={"retry_after_s": 1}) from error

    async def close(self) -> None:
        """Close the connections to the leader."""
        await self._pool.aclose()


class Body:
    """The body of a request, and whether its client is still there."""

    def __init__(self, receive: Any) -> None:
        self._receive = receive
        self._left = asyncio.Event()
        self._whole = asyncio.Event()

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body; it does not end where the client leaves before it was sent."""
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self._left.set()
                await asyncio.Event().wait()  # this task is cancelled now
            yield message.get("body", b"")
            more = message.get("more_body", False)
        self._whole.set()

    async def nothing(self) -> AsyncIterator[bytes]:
        """Yield no body."""
        self._whole.set()
        return
        yield b""

    async def client_left(self) -> None:
        """Return when the client has hung up."""
        whole = asyncio.ensure_future(self._whole.wait())
        left = asyncio.ensure_future(self._left.wait())
        try:
            await asyncio.wait({whole, left}, return_when=asyncio.FIRST_COMPLETED)
            if not left.done():
                await disconnected(self._receive)
        finally:
            whole.cancel()
            left.cancel()


async def _pass_back(answer: httpcore.Response, scope: Any, send: Any) -> None:
    told = dict(answer.headers).get(ANSWERED)
    if told is not None:
        scope[TOLD] = msgspec.json.decode(told, type=Told)
    headers = [(n, v) for n, v in plain(answer.headers) if n not in OF_A_SERVER]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    async for chunk in answer.aiter_stream():
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def onward(scope: Any) -> Headers:
    """Return the headers with which a request is handed on."""
    headers = [(name, value) for name, value in plain(scope["headers"]) if name not in (CLIENT, HEADER)]
    host, port = scope.get("client") or ("", 0)
    return [*headers, (CLIENT, f"{host} {port}".encode()), (HEADER, scope[REQUEST].encode())]


def plain(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Return headers, their names in lower case, without those of one connection."""
    lower = [(name.lower(), value) for name, value in headers]
    named = {
        word.strip().lower() for name, value in lower if name == b"connection" for word in value.split(b",")
    }
    return [(name, value) for name, value in lower if name not in OF_A_CONNECTION | named]


def has_body(headers: Headers) -> bool:
    """Return whether a request with these headers has a body."""
    return any(name in (b"content-length", b"transfer-encoding") for name, _ in headers)


class Handed:
    """The leader's application on its private socket: the caller is whom the follower says it is.

    And the follower is told who that was to the door, for its access log.
    """

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one ASGI scope."""
        if scope["type"] == "http":
            headers = [(name, value) for name, value in scope["headers"] if name != CLIENT]
            told = dict(scope["headers"]).get(CLIENT, b"").decode("latin-1").rpartition(" ")
            client = (told[0], int(told[2])) if told[0] and told[2].isdecimal() else None
            scope = {**scope, "headers": headers, "client": client}
            send = _telling(scope, send)
        await self._app(scope, receive, send)


def _telling(scope: Any, send: Any) -> Any:
    """Return what sends an answer with what an access log says of it."""

    async def send_on(message: Any) -> None:
        if message["type"] == "http.response.start":
            told = msgspec.json.encode(Told.of(scope.get(ENTRY), scope.get(PREDICTION)))
            message = {**message, "headers": [*message["headers"], (ANSWERED, told)]}
        await send(message)

    return send_on
