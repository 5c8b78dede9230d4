"""The X-Request-Id of a request: what its client sent, or one of ours.

It is in every answer, in the log lines about the request, in the audit log, and goes along to
the runtime, whose log has it beside an error_id.
"""

from __future__ import annotations

import itertools
import re
import secrets
from collections.abc import Iterable
from typing import Any

import structlog

HEADER = b"x-request-id"
# Where a scope holds it.
REQUEST = "prism.request"

_VALID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
# As clients and proxies write it; in another spelling it is read too, but not the short way.
_SPELLINGS = (b"\r\nX-Request-Id: ", b"\r\nx-request-id: ", b"\r\nX-Request-ID: ")

_PREFIX = f"{secrets.token_hex(6)}-"
_numbers = itertools.count(1)


def made_id(_next: Any = _numbers.__next__, _prefix: str = _PREFIX) -> str:
    """Return a new id: what tells this process from all others, and a number."""
    return _prefix + str(_next())


def id_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the id that a request came with, or a new one where there is none, or not one, or it is odd."""
    given = [value for name, value in headers if name == HEADER]
    if len(given) == 1 and _VALID.fullmatch(given[0]):
        return given[0].decode()
    return made_id()


def without_id(head: bytes) -> tuple[bytes, str]:
    """Return a head without the line that holds its id, and the id; "" where there is no such line."""
    for spelling in _SPELLINGS:
        start = head.find(spelling)
        if start >= 0:
            break
    else:
        return head, ""
    end = head.find(b"\r\n", start + len(spelling))
    given = head[start + len(spelling) : end]
    # What is odd, or goes on in the next line, is for the parser that has seen everything.
    if not _VALID.fullmatch(given) or head[end + 2 : end + 3] in (b" ", b"\t"):
        return head, ""
    return head[:start] + head[end:], given.decode()


class Identified:
    """Gives each request its id, and each answer."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one ASGI scope."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = scope[REQUEST] = id_of(scope["headers"])
        structlog.contextvars.bind_contextvars(request_id=request)

        async def send_on(message: Any) -> None:
            if message["type"] == "http.response.start":
                others = [pair for pair in message["headers"] if pair[0].lower() != HEADER]
                message = {**message, "headers": [*others, (HEADER, request.encode())]}
            await send(message)

        await self._app(scope, receive, send_on)
