"""What a tunnel leads to: the probe of this server's own supervisor, and nothing else."""

from __future__ import annotations

from typing import Any

from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.response import Response

from prism_core.errors import RouteNotFound
from prism_core.gateway.gateway import Gateway
from prism_core.gateway.probing import PATH
from prism_core.rest.app import HeadAsGet, litestar_app


def link_app(gateway: Gateway, forwards: str) -> Any:
    """Return the application of a tunnel's listener.

    ``forwards`` is the header in which the tunnel tells for whom it asks, "" for none.
    """
    return HeadAsGet(litestar_app([probe_route(gateway)]))


def probe_route(gateway: Gateway) -> HTTPRouteHandler:
    """Return the route by which this server finds itself through a public address."""

    @get(PATH + "{nonce:str}")
    async def probe(nonce: FromPath[str]) -> Response[bytes]:
        answer = gateway.publishing.prober.answer(nonce)
        if answer is None:
            raise RouteNotFound("There is no such route.")
        return Response(answer, media_type="application/octet-stream", headers={"cache-control": "no-store"})

    return probe
