"""The page of a link: its gate for whoever has shown nothing, the model's page for its holder.

Neither the gate nor the page ever has the link's token in an address: it comes in the fragment, which
browsers do not send, and goes in the body of a form to ``/s/SLUG/open``.
"""

from __future__ import annotations

import asyncio

from litestar import get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from prism_core.errors import LinkNotFound, Unauthorized
from prism_core.gateway.callers.link import Link
from prism_core.gateway.callers.link_door import LinkDoor
from prism_core.gateway.gateway import Gateway
from prism_core.rest.pages.place import Place
from prism_core.rest.pages.serving import Page, answered, is_wanted, page, shown
from prism_core.rest.public import Answer, answer
from prism_core.rest.visiting import SECRET, AnyRequest, described, entering, found, looking


def link_pages(gateway: Gateway, door: LinkDoor) -> list[HTTPRouteHandler]:
    """Return the handlers of ``/s/SLUG`` itself, behind the door of their listener."""

    @get("/s/{slug:str}")
    async def link_page(request: AnyRequest, slug: FromPath[str]) -> Answer:
        seen = looking(door, request, slug)
        _check_page(seen.link)
        if not is_wanted(request):
            entering(door, request, slug, "read")
            return answer(described(gateway, seen.link, *found(gateway, seen.link.model)))
        if seen.caller is None:
            return await _gate(seen.link, request.query_params.get("refused", ""))
        _, version = found(gateway, seen.link.model)
        return await shown(request, version, _place(gateway, seen.link))

    @post("/s/{slug:str}", status_code=200, request_max_body_size=None)
    async def link_tried(request: AnyRequest, slug: FromPath[str]) -> Answer:
        link = door.table.find(slug).link
        _check_page(link)
        try:
            entering(door, request, slug, "predict")
        except Unauthorized:
            if not is_wanted(request):
                raise
            return await _gate(link, shown=True, status=401)
        _, version = found(gateway, link.model)
        place = _place(gateway, link)
        return await answered(request, version, place, gateway.service, link.model, door)

    return [link_page, link_tried]


def _check_page(link: Link) -> None:
    if not link.page:
        raise LinkNotFound("This link has no page.", hint="It is for programs, which predict with it.")


async def _gate(link: Link, refused: str = "", *, shown: bool = False, status: int = 200) -> Page:
    """Return the gate; it names neither the model nor what it takes."""
    from prism_core.rest.pages import rendering
    from prism_core.rest.pages.stops import link_gate

    await asyncio.to_thread(rendering.warm)
    stop = link_gate(link.slug, password=bool(link.password), refused=refused, shown=shown)
    return page(rendering.html("stop.html", stop=stop), status)


def _place(gateway: Gateway, link: Link) -> Place:
    url = gateway.links.url_of(link)
    left = max(0, link.uses - gateway.links.used(link)) if link.uses else None
    return Place(
        link.slug,
        f"{url}/predict",
        gateway.settings.limits.max_body,
        SECRET,
        opens=f"{url}/open" if link.password else "",
        note=link.note,
        until=link.expires,
        left=left,
        answers="predict" in link.verbs,
    )
