"""What all of our Litestar applications have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from litestar import Litestar, Request
from litestar.handlers import HTTPRouteHandler
from litestar.response import Response

from prism_core.gateway.callers.door import caller_of, discreet
from prism_core.rest.pages.refusing import refusal

# Bodies of these routes are small; an upload is streamed and has its own limit.
MAX_BODY_BYTES = 1 << 20


def litestar_app(routes: Sequence[HTTPRouteHandler]) -> Litestar:
    """Return a Litestar application of ``routes`` whose every error is a problem document, or a page."""
    return Litestar(
        routes,
        openapi_config=None,  # made by prism_core.rest.openapi: a schema per model
        logging_config=None,
        debug=False,
        request_max_body_size=MAX_BODY_BYTES,
        exception_handlers={Exception: _problem},
    )


def _problem(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    status, headers, body = refusal(request.scope, discreet(error, caller_of(request.scope)))
    media_type, *others = (
        (name.decode(), value.decode()) for name, value in headers if name != b"content-length"
    )
    kind = media_type[1].partition(";")[0]  # Litestar itself says in which charset a text is
    return Response(body, status_code=status, media_type=kind, headers=dict(others))


class HeadAsGet:
    """Answers HEAD as GET without the body, which Litestar does not do by itself."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one ASGI scope."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_head(message: Any) -> None:
            await send(message | {"body": b""} if message["type"] == "http.response.body" else message)

        await self._app({**scope, "method": "GET"}, receive, send_head)
