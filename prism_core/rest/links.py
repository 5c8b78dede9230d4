"""The admin routes of links: made, listed, revoked."""

from __future__ import annotations

from litestar import delete, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, JSONBody

from prism_core.errors import ModelNotFound
from prism_core.gateway.callers.link import LinkWish
from prism_core.gateway.gateway import Gateway
from prism_core.rest.admin_openapi import told
from prism_core.rest.public import Answer, answer
from prism_core.rest.visiting import found


def link_admin_routes(gateway: Gateway) -> list[HTTPRouteHandler]:
    """Return the handlers."""

    @post("/admin/v1/links", status_code=200, **told("Make a link; its token is in this answer only"))
    async def create_link(data: JSONBody[LinkWish]) -> Answer:
        shown, token = await gateway.links.create(data)
        url = f"{shown['url']}#{token}" if shown["url"] else ""
        unknown = _unknown(gateway, data.model)
        response = answer({**shown, "url": url, "token": token, "unknown_models": unknown})
        response.headers["cache-control"] = "no-store"  # nobody may keep the only answer that holds it
        return response

    @get("/admin/v1/links", **told("All links, without their tokens, and how they are reached"))
    async def links() -> Answer:
        return answer({"links": gateway.links.list(), "tunnels": gateway.publishing.infos()})

    @delete("/admin/v1/links/{slug:str}", status_code=200, **told("Revoke a link"))
    async def revoke_link(slug: FromPath[str]) -> Answer:
        return answer({"revoked": await gateway.links.revoke(slug)})

    return [create_link, links, revoke_link]


def _unknown(gateway: Gateway, reference: str) -> list[str]:
    """Return the link's model if there is none yet: perhaps it comes, perhaps it is a slip."""
    try:
        found(gateway, reference)
    except ModelNotFound:
        return [reference]
    return []
