"""The routes under ``/v2`` that are no predictions, as a small ASGI application.

What it raises is told in the protocol's words by whoever has mounted it, with the status and headers of the
error; here are only good answers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import attrs
import msgspec

from prism_core.plugin import Host, MethodNotAllowed, RouteNotFound
from prism_oip import told
from prism_oip.rest.bodies import ControlRequest, IndexRequest, check_load, check_unload, parsed, received
from prism_oip.rest.paths import Route, route_of


@attrs.frozen
class Asked:
    """A request: which route, from whom (an ASGI scope), with what body."""

    route: Route
    scope: Mapping[str, Any]
    body: bytes = b""


# A status and what is sent as JSON.
Answer = tuple[int, Any]
Handler = Callable[[Host, Asked], Awaitable[Answer]]


class Application:
    """Answers for one listener.

    Parameters
    ----------
    host
        The server.
    extensions
        What this listener has of the protocol's extensions.
    handlers
        What answers each route, by its name; what has none is not there.
    """

    def __init__(self, host: Host, extensions: Sequence[str], handlers: Mapping[str, Handler]) -> None:
        self._host = host
        self._handlers = {"server": _server_of(extensions), **handlers}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one ASGI scope."""
        route = route_of(scope["path"])
        if route is None or route.name not in self._handlers:
            raise _no_route()
        _check_method(route, scope["method"])
        body = await received(scope, receive) if scope["method"] == "POST" else b""
        if body is None:
            return
        status, value = await self._handlers[route.name](self._host, Asked(route, scope, body))
        content = msgspec.json.encode(value)
        length = (b"content-length", b"%d" % len(content))
        headers = [(b"content-type", b"application/json"), length]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else content})


def _no_route() -> RouteNotFound:
    return RouteNotFound("There is no such route.", hint="GET /v2 tells what this server has.")


def _check_method(route: Route, method: str) -> None:
    if method not in route.methods:
        raise MethodNotAllowed(
            "This route does not take this method.",
            hint=f"Use {route.methods[0]}.",
            details={"allow": ", ".join(route.methods)},
        )


def _server_of(extensions: Sequence[str]) -> Handler:
    async def server(host: Host, asked: Asked) -> Answer:
        return 200, told.server(host.version, extensions)

    return server


async def _live(host: Host, asked: Asked) -> Answer:
    return 200, {"live": True}


async def _ready(host: Host, asked: Asked) -> Answer:
    ready = host.settled()
    return (200 if ready else 503), {"ready": ready}


async def _model(host: Host, asked: Asked) -> Answer:
    found = host.find(asked.route.reference)
    versions = [one.version for one in host.served() if one.model == found.model and one.ready]
    return 200, told.metadata(found, versions)


async def _model_ready(host: Host, asked: Asked) -> Answer:
    found = host.find(asked.route.reference)
    answer = {"name": found.model, "ready": found.ready}
    return (200, answer) if found.ready else (503, answer | {"error": found.reason})


async def _model_config(host: Host, asked: Asked) -> Answer:
    return 200, told.config(host.find(asked.route.reference))


async def _statistics(host: Host, asked: Asked) -> Answer:
    caller = host.caller(asked.scope)
    return 200, told.statistics(s for s in await host.statistics() if caller.may("read", s.model))


async def _model_statistics(host: Host, asked: Asked) -> Answer:
    if not asked.route.one:
        return 200, told.statistics(await host.statistics(asked.route.model))
    found = host.find(asked.route.reference)
    return 200, told.statistics(await host.statistics(found.model, found.version))


async def _index(host: Host, asked: Asked) -> Answer:
    wanted = parsed(asked.body, IndexRequest)
    return 200, told.index(host.served(host.caller(asked.scope)), ready=bool(wanted.ready))


async def _load(host: Host, asked: Asked) -> Answer:
    check_load(parsed(asked.body, ControlRequest).parameters or {})
    await host.start(asked.route.model)
    return 200, {"name": asked.route.model, "load": True}


async def _unload(host: Host, asked: Asked) -> Answer:
    check_unload(parsed(asked.body, ControlRequest).parameters or {})
    await host.stop(asked.route.model)
    return 200, {"name": asked.route.model, "unload": True}


async def _infer(host: Host, asked: Asked) -> Answer:
    # Predictions are answered before: what comes here has another method, and is told so.
    raise _no_route()


READS: Mapping[str, Handler] = {
    "live": _live,
    "ready": _ready,
    "index": _index,
    "statistics": _statistics,
    "model": _model,
    "model_ready": _model_ready,
    "model_config": _model_config,
    "model_statistics": _model_statistics,
}
PREDICTS: Mapping[str, Handler] = {"infer": _infer}
CHANGES: Mapping[str, Handler] = {"load": _load, "unload": _unload}
