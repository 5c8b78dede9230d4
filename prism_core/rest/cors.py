"""Which pages of other origins may read answers: CORS, for the public listener and for single models.

Credentials are never allowed: callers are told apart by a header that a page must know and
send itself, never by a cookie, so an open origin gives nothing away that curl would not get.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from prism_core.errors import ConfigError, Forbidden
from prism_core.rest.entrance import asked_of
from prism_core.rest.errors import Headers, problem_response
from prism_core.settings import Settings

ANY = "*"
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?")

METHODS = b"GET, HEAD, POST, OPTIONS"
# What a page may send, beside what every page may.
SENT = (
    b"authorization, cache-control, content-type, x-api-key, "
    b"x-prism-timeout, x-request-id, x-scale-up-timeout"
)
# What its script may see of an answer, beside what every script may.
SEEN = (
    b"ratelimit, ratelimit-policy, retry-after, server-timing, x-prism-batch, x-prism-cache, "
    b"x-prism-model-version, x-request-id"
)
# Chrome remembers no preflight for longer than two hours; a change of the settings should not take that long.
MAX_AGE_S = 600

_VARY = (b"vary", b"Origin")


@attrs.frozen
class Cors:
    """The origins that are allowed. Made by `cors_of`."""

    default: frozenset[str]
    models: Mapping[str, frozenset[str]]

    def allowed(self, path: str, origin: str) -> str:
        """Return what an answer of ``path`` tells a page of ``origin``: it, ``*``, or "" for nothing."""
        model = (asked_of(path) or "").partition("@")[0]
        origins = self.models.get(model, self.default)
        if ANY in origins:
            return ANY
        return origin if origin in origins else ""

    def headers(self, path: str, origin: bytes | None) -> Headers:
        """Return what an answer of ``path`` has beside its own headers."""
        allowed = self.allowed(path, origin.decode("latin-1")) if origin else ""
        if not allowed:
            return [_VARY]
        named = (b"access-control-allow-origin", allowed.encode("latin-1"))
        return [named, (b"access-control-expose-headers", SEEN), _VARY]

    def lines(self, path: str, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        """Return the same as header lines, b"" for a request of no page."""
        origin = origin_of(headers)
        if origin is None:
            return b""
        return b"".join(b"%b: %b\r\n" % pair for pair in self.headers(path, origin))

    def preflight(self, path: str, headers: Iterable[tuple[bytes, bytes]]) -> tuple[int, Headers, bytes]:
        """Return the answer to a page that asks whether it may."""
        origin = origin_of(headers) or b""
        told = self.headers(path, origin)
        if len(told) == 1:
            refused = Forbidden(
                "Pages of this origin may not use this.", hint="The owner's setting is `cors`."
            )
            status, others, body = problem_response(refused)
            return status, others + told, body
        return (
            204,
            [
                told[0],
                (b"access-control-allow-methods", METHODS),
                (b"access-control-allow-headers", SENT),
                (b"access-control-max-age", b"%d" % MAX_AGE_S),
                _VARY,
            ],
            b"",
        )


def cors_of(settings: Settings) -> Cors | None:
    """Return what the settings allow, None where that is nothing.

    Raises
    ------
    ConfigError
        If an origin is not written as browsers send it.
    """
    models = {name: model.cors for name, model in settings.models.items() if model.cors is not None}
    for key, origins in {"cors": settings.cors, **{f"models.{n}.cors": o for n, o in models.items()}}.items():
        for origin in origins:
            _check(key, origin)
    if not settings.cors and not any(models.values()):
        return None
    return Cors(frozenset(settings.cors), {name: frozenset(origins) for name, origins in models.items()})


def _check(key: str, origin: str) -> None:
    if origin != ANY and not _ORIGIN.fullmatch(origin):
        raise ConfigError(
            f"{key}: {origin!r} is no origin.",
            hint="It is a scheme, a host and perhaps a port, in lower case and without a slash at its end, "
            "such as https://app.example.org or http://localhost:3000; or * for any.",
        )


def origin_of(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """Return the origin of the page that sent a request, None where none did."""
    found = [value for name, value in headers if name == b"origin"]
    return found[0] if len(found) == 1 else None


def is_preflight(scope: Any) -> bool:
    """Return whether a browser asks on behalf of a page."""
    if scope["method"] != "OPTIONS":
        return False
    names = {name for name, _ in scope["headers"]}
    return b"origin" in names and b"access-control-request-method" in names


def telling(cors: Cors, scope: Any, send: Any, *, kept: bool) -> Any:
    """Return what sends an answer with its CORS headers.

    One that is ``kept``, as caches do with pages, says also to nobody that it depends on who asks.
    """
    origin = origin_of(scope["headers"])
    if origin is None and not kept:
        return send
    told = cors.headers(scope["path"], origin)

    async def send_on(message: Any) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *told]}
        await send(message)

    return send_on


class Pages:
    """Tells browsers of every answer of ``app`` who may read it."""

    def __init__(self, app: Any, cors: Cors) -> None:
        self._app = app
        self._cors = cors

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one ASGI scope."""
        if scope["type"] == "http":
            send = telling(self._cors, scope, send, kept=True)
        await self._app(scope, receive, send)
