"""The admin routes of tunnels: how links are reached."""

from __future__ import annotations

import attrs
from litestar import get
from litestar.handlers import HTTPRouteHandler

from prism_core.gateway.gateway import Gateway
from prism_core.gateway.views import TunnelInfo
from prism_core.rest.admin_openapi import told
from prism_core.rest.public import Answer, answer


@attrs.frozen
class Tunnels:
    """All link providers that are open, or should be."""

    tunnels: list[TunnelInfo]


def tunnel_routes(gateway: Gateway) -> list[HTTPRouteHandler]:
    """Return the handlers."""

    @get("/admin/v1/tunnels", **told("How links are reached", Tunnels))
    async def tunnels() -> Answer:
        return answer(Tunnels(gateway.publishing.infos()))

    return [tunnels]
