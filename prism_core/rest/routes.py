"""The admin routes of where a model's traffic goes: shown, set, taken back."""

from __future__ import annotations

from typing import Any

import attrs
import msgspec
from litestar import delete, get, post, put
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, FromQuery, JSONBody

from prism_core.converters import structure
from prism_core.errors import ConfigError
from prism_core.gateway.gateway import Gateway
from prism_core.gateway.traffic.changes import KEPT_CHANGES
from prism_core.gateway.traffic.leads import refused
from prism_core.gateway.traffic.showing import (
    ChangeInfo,
    RouteInfo,
    change_info,
    change_infos,
    moved,
    route_info,
    warnings_of,
)
from prism_core.rest.admin_openapi import told
from prism_core.rest.public import Answer, answer
from prism_core.traffic.route import Route

ROUTE = "/admin/v1/models/{model:str}/route"


@attrs.frozen
class History:
    """Changes, the newest first."""

    changes: list[ChangeInfo]


def route_routes(gateway: Gateway) -> list[HTTPRouteHandler]:
    """Return the handlers."""
    return [*_set_routes(gateway), *_undo_routes(gateway)]


def _set_routes(gateway: Gateway) -> list[HTTPRouteHandler]:
    @get(ROUTE, **told("The route of a model", RouteInfo))
    async def route(model: FromPath[str]) -> Answer:
        return answer(await _info(gateway, model))

    @put(ROUTE, **told("Let a model's bare name go by a route", RouteInfo, takes=Route))
    async def set_route(
        model: FromPath[str],
        data: JSONBody[dict[str, Any]],
        why: FromQuery[str] = "",
        dry_run: FromQuery[bool] = False,
        revision: FromQuery[int | None] = None,
    ) -> Answer:
        return answer(await _set(gateway, model, read_route(data), why, dry_run, revision))

    @delete(ROUTE, status_code=200, **told("Take a model's route away", RouteInfo))
    async def clear_route(
        model: FromPath[str], why: FromQuery[str] = "", dry_run: FromQuery[bool] = False
    ) -> Answer:
        return answer(await _set(gateway, model, None, why, dry_run))

    return [route, set_route, clear_route]


async def _info(gateway: Gateway, name: str) -> RouteInfo:
    circuits = {arm: str(state) for arm, state in gateway.traffic.circuits.of(name).items()}
    bandit = gateway.traffic.learning.bandits.shown(name)
    return attrs.evolve(await route_info(gateway.traffic.routes, name), circuits=circuits, bandit=bandit)


async def _set(
    gateway: Gateway, name: str, route: Route | None, why: str, dry_run: bool, revision: int | None = None
) -> RouteInfo:
    """Set a route, or find out what that would do; tell what it is then, and what moves."""
    routes, registry = gateway.traffic.routes, gateway.registry
    before = registry.model(name).route
    if dry_run:
        route = routes.check(name, route) if route else None
    else:
        change = await routes.set(name, route, why=why, revision=revision)
        before, route = change.before.route, change.after.route
    model = registry.model(name)
    info = await _info(gateway, name)
    shown = msgspec.to_builtins(route) if route else None
    moves, warnings = moved(registry, model, before, route), warnings_of(registry, model, route)
    return attrs.evolve(info, route=shown, moves=moves, warnings=warnings)


def _undo_routes(gateway: Gateway) -> list[HTTPRouteHandler]:
    @get(f"{ROUTE}/history", **told("How a model's traffic was led, the newest change first", History))
    async def route_history(model: FromPath[str], limit: FromQuery[int] = 50) -> Answer:
        changes = await gateway.traffic.routes.history(model, max(1, min(limit, KEPT_CHANGES)))
        return answer(History(change_infos(changes)))

    @post(f"{ROUTE}/undo", status_code=200, **told("Take back a model's last change", ChangeInfo))
    async def undo_route(model: FromPath[str], redo: FromQuery[bool] = False) -> Answer:
        return answer(await _taken_back(gateway, model, redo))

    @post("/admin/v1/undo", status_code=200, **told("Take back the last change of all models", ChangeInfo))
    async def undo(redo: FromQuery[bool] = False) -> Answer:
        return answer(await _taken_back(gateway, "", redo))

    return [route_history, undo_route, undo]


async def _taken_back(gateway: Gateway, model: str, redo: bool) -> ChangeInfo:
    routes = gateway.traffic.routes
    return change_info(await (routes.redo(model) if redo else routes.undo(model)))


def read_route(data: Any) -> Route:
    """Return a route from JSON.

    Raises
    ------
    InvalidRoute
        With the path of every key that is wrong.
    """
    try:
        return structure(data, Route)
    except ConfigError as error:
        raise refused(error) from error
