"""The two ASGI applications: the public one and the admin one."""

from __future__ import annotations

import asyncio
from typing import Any

from prism_core.gateway.gateway import Gateway
from prism_core.rest.access import AccessLog
from prism_core.rest.admin import TokenGuard, admin_routes
from prism_core.rest.asgi import HeadAsGet, litestar_app
from prism_core.rest.cors import Pages, cors_of
from prism_core.rest.entrance import Entrance, asks_of
from prism_core.rest.feedback import feedback_route
from prism_core.rest.linked import Linked, link_way
from prism_core.rest.mounted import Mounted, mounts_of
from prism_core.rest.predict import PredictFront
from prism_core.rest.public import public_routes
from prism_core.rest.routing import Routes


def public_app(gateway: Gateway, access: AccessLog | None = None) -> Any:
    """Return the application of the public listener; nothing administrative is in it."""
    routes = HeadAsGet(litestar_app([*public_routes(gateway), feedback_route(gateway)]))
    mounts = mounts_of(gateway, "public")
    mounted = Mounted(mounts, routes)
    others = Entrance(mounted, gateway.door, mounts) if gateway.door else mounted
    dialects = Routes(gateway.plugins.dialects.values())
    cors = cors_of(gateway.settings, asks_of(dialects, mounts), dialects.headers)
    return PredictFront(
        gateway.service,
        Linked(gateway, gateway.link_door, Pages(others, cors) if cors else others),
        max_body_bytes=gateway.settings.limits.max_body,
        door=gateway.door,
        access=access,
        cors=cors,
        links=link_way(gateway.service, gateway.link_door),
        routes=dialects,
    )


def admin_app(gateway: Gateway, stopping: asyncio.Event | None = None) -> Any:
    """Return the application of the admin listener; its endless answers end when ``stopping`` is set."""
    routes = HeadAsGet(litestar_app(admin_routes(gateway, stopping or asyncio.Event())))
    mounts = mounts_of(gateway, "admin")
    return TokenGuard(Mounted(mounts, routes), gateway.token, gateway.audit, mounts)
