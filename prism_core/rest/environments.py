"""The admin routes of environments: listed, explained, pruned."""

from __future__ import annotations

import attrs
from litestar import get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from prism_core.gateway.gateway import Gateway
from prism_core.gateway.installed import EnvironmentInfo, VersionEnvironment, environment_of, environments
from prism_core.rest.admin_openapi import told
from prism_core.rest.public import Answer, answer

ALL = "/admin/v1/environments"
ONE = "/admin/v1/models/{model:str}/versions/{version:int}/environment"


@attrs.frozen
class Environments:
    """All environments."""

    environments: list[EnvironmentInfo]


@attrs.frozen
class Pruned:
    """What was removed: names of files and directories."""

    removed: list[str]


def environment_routes(gateway: Gateway) -> list[HTTPRouteHandler]:
    """Return the handlers."""

    @get(ALL, **told("All environments, and which versions have them", Environments))
    async def list_environments() -> Answer:
        return answer(Environments(await environments(gateway.operator)))

    @post(f"{ALL}/prune", status_code=200, **told("Remove environments that no version has", Pruned))
    async def prune_environments() -> Answer:
        return answer(Pruned(await gateway.prune_environments()))

    @get(ONE, **told("What a version runs with, pin by pin", VersionEnvironment))
    async def version_environment(model: FromPath[str], version: FromPath[int]) -> Answer:
        found = gateway.registry.version(model, version)
        return answer(await environment_of(gateway.operator, found))

    return [list_environments, prune_environments, version_environment]
