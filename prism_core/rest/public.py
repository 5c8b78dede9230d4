"""The public routes: what models there are, and how the server is.

Nothing administrative is here. A tunnel or a LAN address reaches these routes only.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import attrs
import msgspec
from litestar import Request, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.response import Response

from prism_core import __version__
from prism_core.errors import MethodNotAllowed, ModelNotFound, RouteNotFound
from prism_core.gateway.callers.door import caller_of
from prism_core.gateway.gateway import Gateway
from prism_core.gateway.views import ModelInfo, VersionInfo
from prism_core.rest.describe import KEY, describe, metadata, signature_of, status
from prism_core.rest.openapi import Described, document
from prism_core.rest.pages.place import Place
from prism_core.rest.pages.serving import answered, is_wanted, shown
from prism_core.rest.routing import route_of

Answer = Response[bytes]
AnyRequest = Request[Any, Any, Any]
Found = tuple[ModelInfo, VersionInfo]

# Answered by `PredictFront`; what is left for the handler here are names that no model can have.
PREDICT_PATHS = [
    "/model/{model:str}/predict",
    "/model/{model:str}/versions/{version:str}/predict",
    "/v1/models/{model:str}/predict",
    "/v1/models/{model:str}",  # with the suffix :predict
]


# A browser gets a page where a program gets JSON.
VARIES = {"Vary": "Accept"}


def answer(value: Any, status_code: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """Return ``value`` as JSON; attrs classes become objects."""
    body = msgspec.json.encode(value)
    return Response(body, media_type="application/json", status_code=status_code, headers=headers)


def public_routes(gateway: Gateway) -> list[HTTPRouteHandler]:
    """Return the handlers of the public application."""
    return [*_model_routes(gateway), *_v1_routes(gateway), *_server_routes(gateway)]


def resolve(gateway: Gateway, name: str, alias: str = "", number: int | None = None) -> Found:
    """Return the model and the version that a reference means, whatever state it is in.

    Raises
    ------
    ModelNotFound
        If there is none.
    """
    model = gateway.model(name)
    if number is None:
        newest = max((v.version for v in model.versions), default=None)
        number = model.aliases.get(alias) if alias else model.aliases.get("latest", newest)
    for version in model.versions:
        if version.version == number:
            return model, version
    raise gateway.registry.explain(f"{name}@{alias}" if alias else f"{name}/{number or ''}")


def _resolve_reference(gateway: Gateway, reference: str) -> Found:
    name, _, alias = reference.partition("@")
    model, version = resolve(gateway, name, alias)
    together = gateway.registry.together(reference)
    if together is not None:  # what is asked and answered under this name is the ensemble's
        version = attrs.evolve(version, signature=msgspec.to_builtins(together.signature))
    return model, version


def keyed(gateway: Gateway) -> bool:
    """Return whether callers are asked who they are."""
    return gateway.settings.auth != "none"


def visible(gateway: Gateway, request: AnyRequest) -> list[ModelInfo]:
    """Return the models that the caller may see."""
    caller = caller_of(request.scope)
    return [model for model in gateway.models() if caller.may("read", model.model)]


def _model_routes(gateway: Gateway) -> list[HTTPRouteHandler]:
    @get("/model/{model:str}")
    async def model_page(request: AnyRequest, model: FromPath[str]) -> Answer:
        found = _resolve_reference(gateway, model)
        together = gateway.registry.together(model)
        place = place_of(gateway, model, f"/model/{model}/predict")
        return await _looked_at(gateway, request, found, place, together.members if together else ())

    @get("/model/{model:str}/versions/{version:int}")
    async def version_page(request: AnyRequest, model: FromPath[str], version: FromPath[int]) -> Answer:
        found = resolve(gateway, model, number=version)
        path = f"/model/{model}/versions/{version}/predict"
        return await _looked_at(gateway, request, found, place_of(gateway, str(version), path))

    @post("/model/{model:str}", status_code=200, request_max_body_size=None)
    async def model_tried(request: AnyRequest, model: FromPath[str]) -> Answer:
        _, version = _resolve_reference(gateway, model)
        place = place_of(gateway, model, f"/model/{model}/predict")
        return await answered(request, version, place, gateway.service, model, gateway.door)

    @post("/model/{model:str}/versions/{version:int}", status_code=200, request_max_body_size=None)
    async def version_tried(request: AnyRequest, model: FromPath[str], version: FromPath[int]) -> Answer:
        _, found = resolve(gateway, model, number=version)
        place = place_of(gateway, str(version), f"/model/{model}/versions/{version}/predict")
        reference = f"{model}/{version}"
        return await answered(request, found, place, gateway.service, reference, gateway.door)

    @post(PREDICT_PATHS)
    async def no_such_model(request: AnyRequest) -> Answer:
        reference, version = (request.path_params.get(key, "") for key in ("model", "version"))
        path = request.scope["path"]
        if route_of(path):  # only a needless slash can have led here
            raise RouteNotFound("There is no such route.", hint=f"Write it as {path}.")
        if not path.endswith("predict"):
            raise MethodNotAllowed(
                "This route does not take this method.",
                hint=f"Use GET; POST /model/{reference}/predict predicts.",
                details={"allow": "GET"},
            )
        name = reference.removesuffix(":predict")
        raise gateway.registry.explain(f"{name}/{version}" if version else name)

    return [model_page, version_page, model_tried, version_tried, no_such_model]


def place_of(gateway: Gateway, here: str, path: str) -> Place:
    """Return where a page stands, whose model predicts at ``path``."""
    secret = KEY if keyed(gateway) else ""
    return Place(here, f"{gateway.public_url}{path}", gateway.settings.limits.max_body, secret)


async def _looked_at(
    gateway: Gateway, request: AnyRequest, found: Found, place: Place, members: tuple[str, ...] = ()
) -> Answer:
    if is_wanted(request):
        return await shown(request, found[1], place)
    told = describe(*found, place.url, keyed=keyed(gateway), members=members)
    return answer(told, headers=VARIES)


def _v1_routes(gateway: Gateway) -> list[HTTPRouteHandler]:
    @get("/v1/models")
    async def model_names(request: AnyRequest) -> Answer:
        return answer({"models": [model.model for model in visible(gateway, request) if model.versions]})

    @get("/v1/models/{model:str}")
    async def model_ready(model: FromPath[str]) -> Answer:
        _, version = _resolve_reference(gateway, model)
        return answer({"name": model, "ready": version.state == "READY"})

    @get("/v1/models/{model:str}/metadata")
    async def model_metadata(model: FromPath[str]) -> Answer:
        return answer(metadata(*_resolve_reference(gateway, model)))

    @get("/v1/models/status")
    async def models_status(request: AnyRequest) -> Answer:
        return answer({"models": [status(model) for model in visible(gateway, request)]})

    return [model_names, model_ready, model_metadata, models_status]


def _server_routes(gateway: Gateway) -> list[HTTPRouteHandler]:
    started = time.monotonic()

    @get("/v1/health")
    async def health() -> Answer:
        models = [status(model) for model in gateway.models()]
        counts = {"ready": sum(model["ready"] for model in models), "total": len(models)}
        uptime_s = round(time.monotonic() - started, 1)
        return answer({"status": "ok", "version": __version__, "uptime_s": uptime_s, "models": counts})

    @get("/health/live")
    async def live() -> Answer:
        return answer({"status": "live"})

    @get("/health/ready")
    async def ready() -> Answer:
        if gateway.settled.is_set():
            return answer({"status": "ready"})
        return answer({"status": "starting"}, status_code=503)

    @get("/openapi.json")
    async def openapi(request: AnyRequest) -> Answer:
        described = _described(gateway, visible(gateway, request))
        return answer(document(described, gateway.public_url, keyed=keyed(gateway)))

    return [health, live, ready, openapi]


def _described(gateway: Gateway, models: Iterable[ModelInfo]) -> Iterator[Described]:
    for model in models:
        try:
            _, version = resolve(gateway, model.model)
        except ModelNotFound:
            continue
        signature = signature_of(version)
        if signature:
            yield Described(model.model, version.version, signature)
