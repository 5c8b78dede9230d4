"""Which pages of other origins may read answers: CORS, for the public listener and for single models.

Credentials are never allowed: callers are told apart by a header that a page must know and
send itself, never by a cookie, so an open origin gives nothing away that curl would not get.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from prism_core.errors import ConfigError, Forbidden
from prism_core.gateway.callers.origins import ANY, WRITTEN, is_origin
from prism_core.rest.entrance import Asks, asked_of
from prism_core.rest.errors import Headers, problem_response
from prism_core.settings import Settings
from prism_core.specs import model_of

METHODS = b"GET, HEAD, POST, OPTIONS"
# What a page may send, beside what every page may.
SENT = (
    b"authorization, cache-control, content-type, x-api-key, "
    b"x-prism-timeout, x-prism-token, x-request-id, x-scale-up-timeout"
)
# What its script may see of an answer, beside what every script may.
SEEN = (
    b"ratelimit, ratelimit-policy, retry-after, server-timing, x-prism-batch, x-prism-cache, "
    b"x-prism-fallback, x-prism-hedged, x-prism-members-used, x-prism-model, x-prism-model-version, "
    b"x-request-id"
)
# Chrome remembers no preflight for longer than two hours; a change of the settings should not take that long.
MAX_AGE_S = 600

_VARY = (b"vary", b"Origin")


class Cors(ABC):
    """What answers tell browsers, whoever says which origins are allowed.

    Attributes
    ----------
    hint
        What to tell a page of another origin.
    sent, seen
        Header names that its script may send, and see, beside what every script may.
    """

    hint: str
    sent: bytes = SENT
    seen: bytes = SEEN

    @abstractmethod
    def origins(self, path: str) -> frozenset[str]:
        """Return the origins whose pages may read answers of ``path``."""

    def allowed(self, path: str, origin: str) -> str:
        """Return what an answer of ``path`` tells a page of ``origin``: it, ``*``, or "" for nothing."""
        origins = self.origins(path)
        if ANY in origins:
            return ANY
        return origin if origin in origins else ""

    def headers(self, path: str, origin: bytes | None) -> Headers:
        """Return what an answer of ``path`` has beside its own headers."""
        allowed = self.allowed(path, origin.decode("latin-1")) if origin else ""
        if not allowed:
            return [_VARY]
        named = (b"access-control-allow-origin", allowed.encode("latin-1"))
        return [named, (b"access-control-expose-headers", self.seen), _VARY]

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
            refused = Forbidden("Pages of this origin may not use this.", hint=self.hint)
            status, others, body = problem_response(refused)
            return status, others + told, body
        return (
            204,
            [
                told[0],
                (b"access-control-allow-methods", METHODS),
                (b"access-control-allow-headers", self.sent),
                (b"access-control-max-age", b"%d" % MAX_AGE_S),
                _VARY,
            ],
            b"",
        )


@attrs.frozen
class ModelCors(Cors):
    """The origins that the settings allow; ``asks`` knows which model a path is about. Made by `cors_of`."""

    default: frozenset[str]
    models: Mapping[str, frozenset[str]]
    asks: Asks = asked_of
    sent: bytes = SENT
    seen: bytes = SEEN
    hint = "The owner's setting is `cors`."

    def origins(self, path: str) -> frozenset[str]:
        """Return the origins of the model that ``path`` is about."""
        model = model_of(self.asks(path) or "")
        return self.models.get(model, self.default)


def cors_of(settings: Settings, asks: Asks = asked_of, headers: Iterable[str] = ()) -> Cors | None:
    """Return what the settings allow, None where that is nothing; ``headers`` may be sent and seen too.

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
    named = {name: frozenset(origins) for name, origins in models.items()}
    sent, seen = (b", ".join([known, *(name.encode() for name in headers)]) for known in (SENT, SEEN))
    return ModelCors(frozenset(settings.cors), named, asks, sent, seen)


def _check(key: str, origin: str) -> None:
    if not is_origin(origin):
        raise ConfigError(f"{key}: {origin!r} is no origin.", hint=WRITTEN)


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
