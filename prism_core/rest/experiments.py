"""The admin routes of experiments: what they say, and begun anew."""

from __future__ import annotations

import time

from litestar import delete, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from prism_core.gateway.gateway import Gateway
from prism_core.gateway.traffic.comparisons import ExperimentInfo, shown
from prism_core.rest.admin_openapi import told
from prism_core.rest.public import Answer, answer

EXPERIMENT = "/admin/v1/models/{model:str}/experiment"


def experiment_routes(gateway: Gateway) -> list[HTTPRouteHandler]:
    """Return the handlers."""

    @get(EXPERIMENT, **told("What the shares of a model's split are like, compared", ExperimentInfo))
    async def experiment(model: FromPath[str]) -> Answer:
        return answer(await _shown(gateway, model))

    @delete(EXPERIMENT, status_code=200, **told("Begin a model's experiment anew", ExperimentInfo))
    async def restart_experiment(model: FromPath[str]) -> Answer:
        async with gateway.audit.acting("experiment.restart", model):
            await gateway.followers.in_flight()  # what they have answered belongs to the one before
            gateway.traffic.experiments.restart(model, time.time())
        return answer(await _shown(gateway, model))

    return [experiment, restart_experiment]


async def _shown(gateway: Gateway, name: str) -> ExperimentInfo:
    gateway.registry.model(name)
    await gateway.followers.in_flight()  # what they have answered is here then
    last = await gateway.traffic.routes.history(name, 1)
    trial = gateway.traffic.experiments.current(name, time.time())
    return shown(gateway.registry, name, trial, last[0] if last else None)
