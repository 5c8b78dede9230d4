"""The admin routes of shadows: how their answers differ from those that callers got."""

from __future__ import annotations

from litestar import delete, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from prism_core.gateway.gateway import Gateway
from prism_core.gateway.traffic.shadows.shown import ShadowsInfo, shown
from prism_core.rest.admin_openapi import told
from prism_core.rest.public import Answer, answer

SHADOWS = "/admin/v1/models/{model:str}/shadows"


def shadow_routes(gateway: Gateway) -> list[HTTPRouteHandler]:
    """Return the handlers."""

    @get(SHADOWS, **told("How shadows answer beside a model", ShadowsInfo))
    async def shadows(model: FromPath[str]) -> Answer:
        return answer(_shown(gateway, model))

    @delete(SHADOWS, status_code=200, **told("Begin to compare shadows anew", ShadowsInfo))
    async def forget_shadows(model: FromPath[str]) -> Answer:
        await gateway.traffic.shadows.forget(model)
        return answer(_shown(gateway, model))

    return [shadows, forget_shadows]


def _shown(gateway: Gateway, name: str) -> ShadowsInfo:
    route = gateway.registry.model(name).route
    wanted = [shadow.reference(name) for shadow in route.shadow] if route else []
    return shown(name, wanted, gateway.traffic.shadows.of(name))
