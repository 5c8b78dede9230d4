"""The door in front of every public route that is no prediction: pages, lists, faces of plugins.

What a route asks of a caller is told by its path, which a plugin's own face knows best. What nobody
knows takes a caller who may use all.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

from prism_core.gateway.callers.door import ENTRY, Door, Entry, pairs_of, told_of
from prism_core.rest.mounted import Mounts, frontend_at
from prism_core.rest.pages.refusing import refusal
from prism_core.rest.routing import Routes
from prism_core.rest.speaking import refusal_in

# Where a scope holds the refusal of a request that the door has not let in, so that it is not asked again.
REFUSED = "prism.refused"

# Monitors ask these, and they name no model.
OPEN = frozenset({"/v1/health", "/health/live", "/health/ready"})
# They show what the caller may see, so any caller may ask.
LISTS = frozenset({"/v1/models", "/v1/models/status", "/openapi.json"})
# What is sent here is about answers of any model; whoever takes it asks for each.
FEEDBACK = "/v1/feedback"
# The model that a path is about, "" for a list, "*" for all, None where anybody may ask.
Asks = Callable[[str], str | None]
_PRIVATE = b"cache-control: private\r\n"
_OF_A_MODEL = re.compile(r"/(?:model|v1/models)/([^/]+)(?:/.*)?")


def asked_of(path: str) -> str | None:
    """Return the model that ``path`` is about, "" for a list, "*" for all, None where anybody may ask."""
    path = path.rstrip("/")
    if path in OPEN:
        return None
    if path in LISTS or path == FEEDBACK:
        return ""
    found = _OF_A_MODEL.fullmatch(path)
    return found[1].removesuffix(":predict") if found else "*"


def verb_of(method: str, path: str, model: str) -> str:
    """Return what is done to ``model``; to ask what there is, is to read, with whatever method."""
    if path.rstrip("/") == FEEDBACK:
        return "judge"
    return "read" if method in ("GET", "HEAD") or not model else "predict"


def asks_of(routes: Routes, mounts: Mounts = MappingProxyType({})) -> Asks:
    """Return what knows the model of any path, also of those that plugins have brought, for CORS."""

    def asks(path: str) -> str | None:
        route = routes.find(path)
        if route is not None:
            return route.reference
        frontend = frontend_at(mounts, path)
        if frontend is None:
            return asked_of(path)
        try:
            return frontend.asks(path)
        except Exception:  # the door will ask too, and say so
            return "*"

    return asks


class Entrance:
    """Lets through to ``app`` what ``door`` lets in.

    Parameters
    ----------
    mounts
        What plugins have mounted in there: they know what their own paths ask of a caller.
    """

    def __init__(self, app: Any, door: Door, mounts: Mounts = MappingProxyType({})) -> None:
        self._app = app
        self._door = door
        self._mounts = mounts

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one ASGI scope."""
        # A browser sends OPTIONS without credentials, to hear whether it may send them.
        if scope["type"] != "http" or scope["method"] == "OPTIONS":
            await self._app(scope, receive, send)
            return
        frontend = frontend_at(self._mounts, scope["path"])
        try:
            entry = self._entered(scope, frontend.asks if frontend else asked_of)
        except Exception as error:
            told = refusal_in(frontend.problem, error) if frontend else refusal(scope, error)
            status, headers, body = told
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})
            return
        if entry is None:
            await self._app(scope, receive, send)
            return
        scope[ENTRY] = entry
        # A shared cache knows that `Authorization` makes an answer private, and nothing of X-API-Key.
        lines = entry.lines + _PRIVATE if self._door.identity is not None else entry.lines
        await self._app(scope, receive, _with_lines(send, lines) if lines else send)

    def _entered(self, scope: Any, asked: Asks) -> Entry | None:
        """Ask the door to let a request in, which raises to refuse; None where anybody may ask."""
        model = asked(scope["path"])
        if model is None:
            return None
        verb = verb_of(scope["method"], scope["path"], model)
        client = scope.get("client")
        return self._door.enter(model, verb, told_of(scope["headers"]), client[0] if client else "")


def _with_lines(send: Any, lines: bytes) -> Any:
    """Return what sends an answer with further header lines."""

    async def send_on(message: Any) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *pairs_of(lines)]}
        await send(message)

    return send_on
