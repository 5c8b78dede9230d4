"""The admin routes: upload, manage and measure. Every request needs the admin token, also one for no route.

They are served on a listener of their own, on the loopback address.
"""

from __future__ import annotations

import asyncio
import hmac
import os
from collections.abc import AsyncGenerator, AsyncIterator
from types import MappingProxyType
from typing import Any

import attrs
import msgspec
from litestar import Request, delete, get, post, put
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.response import Response
from litestar.types import ASGIApp

from prism_core import __version__
from prism_core.audit import Actor
from prism_core.bundle import MEDIA_TYPE
from prism_core.errors import Unauthorized
from prism_core.gateway.auditing import Audit, act_as, fingerprint
from prism_core.gateway.gateway import Gateway
from prism_core.gateway.refusals import Refusals
from prism_core.gateway.views import ModelInfo, VersionInfo
from prism_core.rest.admin_openapi import admin_document, told
from prism_core.rest.bundle import Frozen
from prism_core.rest.environments import environment_routes
from prism_core.rest.experiments import experiment_routes
from prism_core.rest.faces import urls_of
from prism_core.rest.feedback import owner_feedback_route
from prism_core.rest.keys import key_routes
from prism_core.rest.links import link_admin_routes
from prism_core.rest.mounted import Mounts, frontend_at
from prism_core.rest.public import Answer, answer
from prism_core.rest.recordings import recording_routes
from prism_core.rest.replay import replay_routes
from prism_core.rest.requests import REQUEST
from prism_core.rest.routes import route_routes
from prism_core.rest.shadows import shadow_routes
from prism_core.rest.speaking import refusal_in
from prism_core.rest.streams import Stream, with_heartbeat
from prism_core.rest.tunnels import tunnel_routes
from prism_core.rest.upload import LINES, Upload
from prism_core.traffic.targets import NotNegative

MODEL = "/admin/v1/models/{model:str}"
VERSION = f"{MODEL}/versions/{{version:int}}"
ALIAS = f"{MODEL}/aliases/{{alias:str}}"

# Shorter than the idle time after which proxies and NATs drop a connection.
HEARTBEAT_S = 15.0


class TokenGuard:
    """Lets through what carries ``Authorization: Bearer <token>``; 401 for anything else.

    Who is let through is who acts from there on; who is not is written into the audit log.
    """

    def __init__(self, app: Any, token: str, audit: Audit, mounts: Mounts = MappingProxyType({})) -> None:
        self._app = app
        self._mounts = mounts
        self._token = token.encode()
        self._fingerprint = fingerprint(token)
        self._refusals = Refusals(audit)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one ASGI scope."""
        address = (scope.get("client") or ("",))[0]
        if scope["type"] == "http" and not self._allows(scope):
            self._refusals.add(address, scope.get(REQUEST, ""))
            error = Unauthorized(
                "The admin API needs its token.",
                hint="Send `Authorization: Bearer TOKEN`; admin-token in the data directory holds it.",
            )
            frontend = frontend_at(self._mounts, scope["path"])
            status, headers, body = refusal_in(frontend.problem if frontend else None, error)
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})
            return
        act_as(Actor("admin", token=self._fingerprint, address=address, request=scope.get(REQUEST, "")))
        await self._app(scope, receive, send)

    def _allows(self, scope: Any) -> bool:
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        scheme, _, token = (given[0] if len(given) == 1 else b"").partition(b" ")
        equal = hmac.compare_digest(token.strip(), self._token)
        return equal and scheme.lower() == b"bearer" and self._token != b""


@attrs.frozen
class _Target:
    version: int
    keep_warm_s: NotNegative = 0.0


@attrs.frozen
class Models:
    """All models."""

    models: list[ModelInfo]


def admin_routes(gateway: Gateway, stopping: asyncio.Event) -> list[HTTPRouteHandler]:
    """Return the handlers of the admin application; endless answers end when ``stopping`` is set."""
    return [
        *_upload_routes(gateway),
        *_look_routes(gateway),
        *_move_routes(gateway),
        *route_routes(gateway),
        owner_feedback_route(gateway),
        *shadow_routes(gateway),
        *experiment_routes(gateway),
        *key_routes(gateway),
        *link_admin_routes(gateway),
        *environment_routes(gateway),
        *tunnel_routes(gateway),
        *recording_routes(gateway, stopping),
        *replay_routes(gateway, stopping),
        *_stream_routes(gateway, stopping),
    ]


def _upload_routes(gateway: Gateway) -> list[HTTPRouteHandler]:
    @post("/admin/v1/upload", **told("Upload an artifact; a line a step", str, LINES, takes_bytes=True))
    async def upload(spec: FromQuery[str] = "", spec_bytes: FromQuery[int] = 0) -> ASGIApp:
        return Upload(gateway, spec, spec_bytes)

    return [upload]


def _look_routes(gateway: Gateway) -> list[HTTPRouteHandler]:
    @get("/admin/v1/models", **told("All models with their versions", Models))
    async def models() -> Answer:
        return answer(Models(gateway.models()))

    @get(MODEL, **told("One model with its versions", ModelInfo))
    async def model_details(model: FromPath[str]) -> Answer:
        return answer(gateway.model(model))

    @get(VERSION, **told("One version, measured now", VersionInfo))
    async def version_details(model: FromPath[str], version: FromPath[int]) -> Answer:
        return answer(await gateway.show(model, version))

    @get(f"{VERSION}/bundle", **told("One version as a file for another PRISM", str, MEDIA_TYPE))
    async def bundle(model: FromPath[str], version: FromPath[int]) -> ASGIApp:
        gateway.version(model, version)
        return Frozen(gateway, model, version)

    @get("/admin/v1/plugins", **told("Plugins, and those that failed"))
    async def plugins() -> Answer:
        return answer(plugin_list(gateway))

    @get("/admin/v1/server", **told("Where the server is"))
    async def server(request: Request[Any, Any, Any]) -> Answer:
        host, port = request.scope["server"] or ("", None)
        return answer(
            {
                **urls_of(gateway.faces, gateway.public_url),
                "version": __version__,
                "pid": os.getpid(),
                "tls": gateway.tls,
                "gateways": gateway.settings.gateways,
                "auth": gateway.settings.auth,
                "public": gateway.public_url,
                "admin": f"{request.scope['scheme']}://{host}:{port}",
                "data_dir": str(gateway.settings.data_dir.expanduser().resolve()),
            }
        )

    @get("/metrics", **told("Measurements in the text format of Prometheus", str, "text/plain"))
    async def metrics() -> Answer:
        text, media_type = await gateway.scrape()
        return Response(text, headers={"content-type": media_type})

    @get("/admin/v1/openapi.json", **told("This document"))
    async def openapi(request: Request[Any, Any, Any]) -> Answer:
        return answer(admin_document(request.app.routes, str(request.base_url).rstrip("/")))

    return [models, model_details, version_details, bundle, plugins, server, metrics, openapi]


def plugin_list(gateway: Gateway) -> dict[str, Any]:
    """Return the plugins with what they offer, and those that failed with the reason."""
    loaded = [
        {"name": p.name, "version": p.version, "distribution": p.distribution, "offers": p.offers}
        for p in gateway.plugins.plugins.values()
    ]
    failed = [
        {"name": name, "error": error.message, "hint": error.hint}
        for name, error in gateway.plugins.failures.items()
    ]
    return {"plugins": loaded, "failures": failed}


def _move_routes(gateway: Gateway) -> list[HTTPRouteHandler]:
    @put(ALIAS, **told("Point an alias at a version", ModelInfo))
    async def set_alias(model: FromPath[str], alias: FromPath[str], data: JSONBody[_Target]) -> Answer:
        await gateway.set_alias(model, alias, data.version, **_warm(data.keep_warm_s))
        return answer(gateway.model(model))

    @delete(ALIAS, status_code=200, **told("Take an alias away", ModelInfo))
    async def remove_alias(model: FromPath[str], alias: FromPath[str]) -> Answer:
        await gateway.remove_alias(model, alias)
        return answer(gateway.model(model))

    @post(f"{MODEL}/rollback", status_code=200, **told("Go back to the version before", VersionInfo))
    async def rollback(model: FromPath[str], keep_warm_s: FromQuery[float] = 0.0) -> Answer:
        return answer(await gateway.rollback(model, **_warm(keep_warm_s)))

    @post(f"{MODEL}/stop", status_code=200, **told("Stop a model, or a version", ModelInfo))
    async def stop(model: FromPath[str], version: FromQuery[int | None] = None) -> Answer:
        await gateway.stop(model, version)
        return answer(gateway.model(model))

    @post(f"{MODEL}/start", status_code=200, **told("Start what was stopped or has failed", ModelInfo))
    async def start(model: FromPath[str], version: FromQuery[int | None] = None) -> Answer:
        await gateway.start(model, version)
        return answer(gateway.model(model))

    @delete(MODEL, status_code=200, **told("Remove a model"))
    async def remove(model: FromPath[str]) -> Answer:
        await gateway.remove(model)
        return answer({"removed": {"model": model, "version": None}})

    @delete(VERSION, status_code=200, **told("Remove a version"))
    async def remove_version(model: FromPath[str], version: FromPath[int]) -> Answer:
        await gateway.remove(model, version)
        return answer({"removed": {"model": model, "version": version}})

    return [set_alias, remove_alias, rollback, stop, start, remove, remove_version]


def _warm(keep_warm_s: float) -> dict[str, float]:
    """Return what to say of it: nothing where nobody said anything, so that the audit log says nothing."""
    return {"keep_warm_s": keep_warm_s} if keep_warm_s > 0 else {}


def _stream_routes(gateway: Gateway, stopping: asyncio.Event) -> list[HTTPRouteHandler]:
    @get(f"{MODEL}/logs", **told("What the replicas wrote", str, "text/plain"))
    async def logs(
        model: FromPath[str],
        version: FromQuery[int | None] = None,
        tail: FromQuery[int] = 100,
        follow: FromQuery[bool] = False,
    ) -> ASGIApp:
        gateway.version(model, version)  # what is not there is a 404, not an empty stream
        lines = gateway.logs(model, version, tail=max(tail, 0), follow=follow)
        return Stream(_text(lines), "text/plain; charset=utf-8", stopping)

    @get("/admin/v1/events", **told("Changes of state as server-sent events", str, "text/event-stream"))
    async def events() -> ASGIApp:
        sent = with_heartbeat(_sse(gateway.events.subscribe()), HEARTBEAT_S, b": still here\n\n")
        return Stream(sent, "text/event-stream", stopping)

    return [logs, events]


async def _text(lines: AsyncIterator[str]) -> AsyncGenerator[bytes, None]:
    async for line in lines:
        yield line.rstrip("\n").encode("utf-8", "replace") + b"\n"


async def _sse(events: AsyncIterator[Any]) -> AsyncGenerator[bytes, None]:
    async for event in events:
        yield b"event: %s\ndata: %s\n\n" % (event.name.encode(), msgspec.json.encode(event, enc_hook=str))
