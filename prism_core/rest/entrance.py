"""The door in front of every public route that is no prediction: pages, lists, faces of plugins.

What a route asks of a caller is told by its path. What is not known here, for instance a face
that a plugin has mounted and that may predict with any model, takes a caller who may use all.
"""

from __future__ import annotations

import re
from typing import Any

from prism_core.gateway.callers.door import Door, Entry, pairs_of, told_of
from prism_core.rest.pages.refusing import refusal
from prism_core.specs import NOBODY, Caller

# Where a scope holds the `Entry` of a request that the door has let in.
ENTRY = "prism.entry"
# Where it holds the refusal of one that the door has not let in, so that it is not asked again.
REFUSED = "prism.refused"

# Monitors ask these, and they name no model.
OPEN = frozenset({"/v1/health", "/health/live", "/health/ready"})
# They show what the caller may see, so any caller may ask.
LISTS = frozenset({"/v1/models", "/v1/models/status", "/openapi.json"})
_PRIVATE = b"cache-control: private\r\n"
_OF_A_MODEL = re.compile(r"/(?:model|v1/models)/([^/]+)(?:/.*)?")


def asked_of(path: str) -> str | None:
    """Return the model that ``path`` is about, "" for a list, "*" for all, None where anybody may ask."""
    path = path.rstrip("/")
    if path in OPEN:
        return None
    if path in LISTS:
        return ""
    found = _OF_A_MODEL.fullmatch(path)
    return found[1].removesuffix(":predict") if found else "*"


def caller_of(scope: Any) -> Caller:
    """Return who sent a request."""
    entry: Entry | None = scope.get(ENTRY)
    return entry.call.caller if entry else NOBODY


class Entrance:
    """Lets through to ``app`` what ``door`` lets in."""

    def __init__(self, app: Any, door: Door) -> None:
        self._app = app
        self._door = door

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one ASGI scope."""
        # A browser sends OPTIONS without credentials, to hear whether it may send them.
        model = asked_of(scope["path"]) if scope["type"] == "http" and scope["method"] != "OPTIONS" else None
        if model is None:
            await self._app(scope, receive, send)
            return
        verb = "read" if scope["method"] in ("GET", "HEAD") else "predict"
        client = scope.get("client")
        try:
            entry = self._door.enter(model, verb, told_of(scope["headers"]), client[0] if client else "")
        except Exception as error:
            status, headers, body = refusal(scope, error)
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})
            return
        scope[ENTRY] = entry
        # A shared cache knows that `Authorization` makes an answer private, and nothing of X-API-Key.
        lines = entry.lines + _PRIVATE if self._door.identity is not None else entry.lines
        await self._app(scope, receive, _with_lines(send, lines) if lines else send)


def _with_lines(send: Any, lines: bytes) -> Any:
    """Return what sends an answer with further header lines."""

    async def send_on(message: Any) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *pairs_of(lines)]}
        await send(message)

    return send_on
