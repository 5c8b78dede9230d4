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
from prism_core.gateway.traffic.changes import Change
from prism_core.gateway.traffic.leads import refused
from prism_core.rest.admin_openapi import told
from prism_core.rest.public import Answer, answer
from prism_core.traffic.route import Route

ROUTE = "/admin/v1/models/{model:str}/route"


@attrs.frozen
class RouteInfo:
    """Where the traffic of a model goes, as it is shown.

    ``revision`` is the number of the change that made it so, ``aliases`` hold ``latest`` too; ``circuits``
    are the states of those of the versions that may answer.
    """

    model: str
    route: dict[str, Any] | None
    revision: int
    aliases: dict[str, int]
    circuits: dict[str, str]


@attrs.frozen
class History:
    """Changes, the newest first."""

    changes: list[Change]


def route_routes(gateway: Gateway) -> list[HTTPRouteHandler]:
    """Return the handlers."""
    return [*_set_routes(gateway), *_undo_routes(gateway)]


def _set_routes(gateway: Gateway) -> list[HTTPRouteHandler]:
    @get(ROUTE, **told("The route of a model", RouteInfo))
    async def route(model: FromPath[str]) -> Answer:
        return answer(_shown(gateway, model))

    @put(ROUTE, **told("Let a model's bare name go by a route", RouteInfo))
    async def set_route(
        model: FromPath[str], data: JSONBody[dict[str, Any]], why: FromQuery[str] = ""
    ) -> Answer:
        await gateway.routes.set(model, read_route(data), why=why)
        return answer(_shown(gateway, model))

    @delete(ROUTE, status_code=200, **told("Take a model's route away", RouteInfo))
    async def clear_route(model: FromPath[str], why: FromQuery[str] = "") -> Answer:
        await gateway.routes.set(model, None, why=why)
        return answer(_shown(gateway, model))

    return [route, set_route, clear_route]


def _undo_routes(gateway: Gateway) -> list[HTTPRouteHandler]:
    @get(f"{ROUTE}/history", **told("How a model's traffic was led, the newest change first", History))
    async def route_history(model: FromPath[str], limit: FromQuery[int] = 50) -> Answer:
        return answer(History(await gateway.routes.history(model, max(1, min(limit, 1000)))))

    @post(f"{ROUTE}/undo", status_code=200, **told("Take back a model's last change", Change))
    async def undo_route(model: FromPath[str], redo: FromQuery[bool] = False) -> Answer:
        return answer(await _taken_back(gateway, model, redo))

    @post("/admin/v1/undo", status_code=200, **told("Take back the last change of all models", Change))
    async def undo(redo: FromQuery[bool] = False) -> Answer:
        return answer(await _taken_back(gateway, "", redo))

    return [route_history, undo_route, undo]


async def _taken_back(gateway: Gateway, model: str, redo: bool) -> Change:
    return await (gateway.routes.redo(model) if redo else gateway.routes.undo(model))


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


def _shown(gateway: Gateway, name: str) -> RouteInfo:
    model = gateway.registry.model(name)
    route = msgspec.to_builtins(model.route) if model.route else None
    circuits = {arm: str(state) for arm, state in gateway.circuits.of(name).items()}
    return RouteInfo(name, route, model.revision, model.aliases, circuits)
