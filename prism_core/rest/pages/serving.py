"""Answer browsers: GET shows a model's page, POST of its form shows it again with the answer.

What templates need is imported with the first page: a server that only programs ask never loads it.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from litestar import Request
from litestar.response import Response

from prism_core.errors import MethodNotAllowed, PayloadTooLarge
from prism_core.gateway.callers.door import ENTRY, Door, told_of
from prism_core.gateway.service import PredictService
from prism_core.gateway.views import VersionInfo
from prism_core.rest.access import PREDICTION
from prism_core.rest.errors import Headers
from prism_core.rest.pages.accept import asks_page
from prism_core.rest.pages.place import Place
from prism_core.rest.predict import headers_of, sender_of
from prism_core.rest.requests import REQUEST

AnyRequest = Request[Any, Any, Any]
Page = Response[bytes]

# With this header, our script asks for the form and the answer alone.
PART = "x-prism-part"
# Of a prediction's headers, those that a page has too.
_TOLD = frozenset(
    {b"server-timing", b"x-prism-model-version", b"x-prism-cache", b"x-prism-batch", b"set-cookie"}
)


def is_wanted(request: AnyRequest) -> bool:
    """Return whether whoever asks wants a page."""
    return asks_page(request.scope)


async def shown(request: AnyRequest, version: VersionInfo, place: Place) -> Page:
    """Return the page of ``version``; with the query ``example`` its form is filled in."""
    rendering = await _rendering(version)
    return page(rendering.model(version, place, filled="example" in request.query_params))


async def answered(
    request: AnyRequest,
    version: VersionInfo,
    place: Place,
    service: PredictService,
    reference: str,
    door: Door | None = None,
) -> Page:
    """Return the page with the answer of ``reference`` to the form that was sent.

    Raises
    ------
    MethodNotAllowed
        If a program asks, which will not read a page.
    """
    if not is_wanted(request):
        raise MethodNotAllowed(
            "This route takes the form of its page, from browsers.",
            hint=f"POST {place.url} predicts; GET describes the model.",
            details={"allow": "GET"},
        )
    rendering = await _rendering(version)
    scope: Any = request.scope
    form = rendering.posted(request.headers.get("content-type", ""), await body_of(request, place.max_body))
    sender = partial(sender_of, told_of(scope["headers"]), scope.get("client"), scope.get(ENTRY))
    trial = await rendering.attempt(service, reference, version, form, scope.get(REQUEST, ""), sender)
    if trial.error is not None and door is not None and ENTRY in scope:
        door.failed(scope[ENTRY], trial.error)
    told: Headers = []
    if trial.prediction is not None:
        scope[PREDICTION] = trial.prediction  # for the access log
        told = [pair for pair in headers_of(trial.prediction) if pair[0] in _TOLD]
    status = trial.error.status if trial.error else 200
    part = request.headers.get(PART) is not None
    return page(rendering.tried(version, place, trial, part=part), status, told)


async def body_of(request: AnyRequest, most: int) -> bytes:
    """Return the body of ``request``.

    Raises
    ------
    PayloadTooLarge
        As soon as it is longer than ``most`` bytes.
    """
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > most:
            raise PayloadTooLarge(f"The form is larger than {most} bytes.", hint="Choose a smaller file.")
    return bytes(body)


def page(body: bytes, status: int = 200, more: Headers | None = None) -> Page:
    """Return a page with the headers that every page has."""
    from prism_core.rest.pages import rendering

    pairs = [*rendering.headers(), *(more or [])]
    headers = {name.decode(): value.decode() for name, value in pairs}
    return Response(body, status_code=status, media_type="text/html", headers=headers)


async def _rendering(version: VersionInfo) -> Any:
    """Return the module that renders, with all that takes long done.

    In a thread, so that no prediction waits for it: modules and templates are loaded with the first
    page, and a description of many lines takes tens of milliseconds, once.
    """
    if version.description not in _ready:
        await asyncio.to_thread(_warm, version.description)
    from prism_core.rest.pages import rendering

    return rendering


# Descriptions that have been rendered, by their text; as many as are kept.
_ready: dict[str, None] = {}


def _warm(description: str) -> None:
    from prism_core.rest.pages import prose, rendering

    rendering.warm()
    prose.html_of(description)
    while len(_ready) >= prose.KEPT:
        _ready.pop(next(iter(_ready)), None)
    _ready[description] = None
