"""The routes of links, ``/s/SLUG``: what a stranger reaches through an address that somebody sent.

Predictions are `PredictFront`'s, as all of them. What is here asks the door of links by
itself, since a page is shown to somebody who has shown nothing yet.
"""

from __future__ import annotations

from typing import Any

import attrs
from litestar import get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.response import Response

from prism_core.errors import RouteNotFound
from prism_core.gateway.callers.addresses import Proxies
from prism_core.gateway.callers.door import ENTRY, pairs_of
from prism_core.gateway.callers.link import MARK
from prism_core.gateway.callers.link_door import LinkDoor, LinkService
from prism_core.gateway.callers.link_table import LinkTable
from prism_core.gateway.gateway import Gateway
from prism_core.gateway.probing import PATH
from prism_core.gateway.service import PredictService
from prism_core.rest.access import AccessLog
from prism_core.rest.asgi import HeadAsGet, litestar_app
from prism_core.rest.cors import Cors, telling
from prism_core.rest.errors import problem_response
from prism_core.rest.feedback import link_feedback_route
from prism_core.rest.opened import opened
from prism_core.rest.pages.linking import link_pages
from prism_core.rest.predict import LINKS, PredictFront, Way
from prism_core.rest.public import Answer, answer
from prism_core.rest.visiting import HEARD, AnyRequest, Heard, described, entering, found, knocking

# Whose word for whom it asks is believed on a tunnel's listener, which programs of this machine alone reach.
LOOPBACK = ("127.0.0.0/8", "::1")


class LinkCors(Cors):
    """The origins that each link names."""

    hint = "The link's owner names origins with --origin."

    def __init__(self, table: LinkTable) -> None:
        self._table = table

    def origins(self, path: str) -> frozenset[str]:
        """Return the origins of the link that ``path`` is about."""
        held = self._table.held.get(path.removeprefix(LINKS).partition("/")[0])
        return held.origins if held else frozenset()


def link_way(service: PredictService, door: LinkDoor, *, follows: bool = False) -> Way:
    """Return how links predict behind ``door``.

    One that ``follows`` leaves links that are counted to its leader: gateways hear of each other's
    counts once a second, and a link for one use must not have two.
    """

    def counted(reference: str) -> bool:
        held = door.table.held.get(reference.removeprefix(MARK))
        return held is not None and held.link.uses > 0

    way = Way(LinkService(service, door.table), door, LinkCors(door.table))
    return attrs.evolve(way, elsewhere=counted) if follows else way


def link_app(gateway: Gateway, forwards: str, access: AccessLog | None = None) -> PredictFront:
    """Return the application of a tunnel's listener: links, this server's own probe, and nothing else.

    ``forwards`` is the header in which the tunnel tells for whom it asks, "" for none.
    """
    door = gateway.link_door.at(Proxies(LOOPBACK, forwards) if forwards else None)
    return PredictFront(
        None,
        Linked(gateway, door, Probed(gateway)),
        max_body_bytes=gateway.settings.limits.max_body,
        access=access.at(door.addresses) if access is not None else None,
        links=link_way(gateway.service, door),
    )


class Probed:
    """Answers probes of this server's own supervisor, who looks for it through a public address."""

    def __init__(self, gateway: Gateway) -> None:
        self._probe = litestar_app([probe_route(gateway)])

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one ASGI scope."""
        if scope["type"] == "http" and scope["path"].startswith(PATH):
            await self._probe(scope, receive, send)
            return
        error = RouteNotFound("There is no such route.", hint="Only links are answered here.")
        status, headers, body = problem_response(error)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def probe_route(gateway: Gateway) -> HTTPRouteHandler:
    """Return the route by which this server finds itself through a public address."""

    @get(PATH + "{nonce:str}")
    async def probe(nonce: FromPath[str]) -> Response[bytes]:
        answer = gateway.publishing.prober.answer(nonce)
        if answer is None:
            raise RouteNotFound("There is no such route.")
        return Response(answer, media_type="application/octet-stream", headers={"cache-control": "no-store"})

    return probe


class Linked:
    """Answers the routes of links behind ``door``; hands every other scope to ``others``.

    No cache keeps such an answer: what opens it, and whether it is open, is not in its address.
    """

    def __init__(self, gateway: Gateway, door: LinkDoor, others: Any) -> None:
        self._routes = HeadAsGet(litestar_app(link_routes(gateway, door)))
        self._cors = LinkCors(door.table)
        self._others = others

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one ASGI scope."""
        if scope["type"] != "http" or not scope["path"].startswith(LINKS):
            await self._others(scope, receive, send)
            return
        heard = scope[HEARD] = Heard()

        async def send_on(message: Any) -> None:
            if message["type"] == "http.response.start":
                if heard.entry is not None:  # a copy of the scope may have it, as for HEAD
                    scope[ENTRY] = heard.entry
                headers = [*message["headers"], *pairs_of(heard.lines)]
                if all(name.lower() != b"cache-control" for name, _ in headers):
                    headers.append((b"cache-control", b"no-store"))
                message = {**message, "headers": headers}
            await send(message)

        await self._routes(scope, receive, telling(self._cors, scope, send_on, kept=True))


# --- routes ---------------------------------------------------------------------------------


def link_routes(gateway: Gateway, door: LinkDoor) -> list[HTTPRouteHandler]:
    """Return the handlers of links, behind the door of their listener."""

    @get("/s/{slug:str}/metadata")
    async def link_metadata(request: AnyRequest, slug: FromPath[str]) -> Answer:
        entering(door, request, slug, "read")
        link = door.table.find(slug).link
        return answer(described(gateway, link, *found(gateway, link.model)))

    @post("/s/{slug:str}/open", status_code=200)
    async def open_link(request: AnyRequest, slug: FromPath[str]) -> Answer:
        return await opened(gateway.unlocking, request, knocking(door, request, slug), door)

    @post("/s/{slug:str}/predict")
    async def no_such_link(slug: FromPath[str]) -> Answer:
        # `PredictFront` has left it: no link can have this slug, or there is a needless slash behind it.
        door.table.find(slug)
        raise RouteNotFound("There is no such route.", hint="Write it without a slash at its end.")

    feedback = link_feedback_route(gateway, door)
    return [link_metadata, open_link, no_such_link, feedback, *link_pages(gateway, door)]
