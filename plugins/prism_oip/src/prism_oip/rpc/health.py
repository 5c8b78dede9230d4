"""The standard health service: of the server under "", of a model under its name."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import grpc
from grpc_health.v1 import health_pb2

from prism_core.plugin import Host, ModelNotFound
from prism_oip.rpc.calls import SERVICE, Call, send, unary
from prism_oip.rpc.flight import Flight
from prism_oip.rpc.telling import parsed

NAME = "grpc.health.v1.Health"
CHECK, WATCH = f"/{NAME}/Check", f"/{NAME}/Watch"
# Between two looks for who watches.
LOOK_S = 1.0

_Answer = health_pb2.HealthCheckResponse
SERVING, NOT_SERVING, UNKNOWN = _Answer.SERVING, _Answer.NOT_SERVING, _Answer.SERVICE_UNKNOWN


def health(host: Host, flight: Flight) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
    """Return the handlers of the health service, by path."""
    watching: Any = _watching(host, flight)
    return {CHECK: unary(host, flight, CHECK, _check), WATCH: grpc.unary_stream_rpc_method_handler(watching)}


async def _check(call: Call, body: bytes) -> tuple[bytes, None]:
    return _told(_state(call.host, _entered(call, body))), None


def _watching(host: Host, flight: Flight) -> Any:
    async def watch(body: bytes, context: Any) -> None:
        flight.begin(context)
        call, last = Call(host, context, WATCH), -1
        try:
            service = _entered(call, body)
        except Exception as error:
            await call.refuse(error)
        while not flight.stopping.is_set():
            if (state := _state_or_unknown(host, service)) != last:
                await send(context, _told(last := state))
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await flight.stopping.wait()
        await send(context, _told(NOT_SERVING))

    return watch


def _entered(call: Call, body: bytes) -> str:
    """Return which service is asked about; "" is the server, about which anybody may ask."""
    request = parsed(health_pb2.HealthCheckRequest, body)
    service: str = request.service  # type: ignore[attr-defined]  # its class says so, not every message's
    if service in ("", SERVICE, NAME):
        return ""
    call.enter(service, "read")
    return service


def _state(host: Host, service: str) -> int:
    ready = host.find(service).ready if service else host.settled()
    return SERVING if ready else NOT_SERVING


def _state_or_unknown(host: Host, service: str) -> int:
    try:
        return _state(host, service)
    except ModelNotFound:  # there may be one later
        return UNKNOWN


def _told(state: int) -> bytes:
    return _Answer(status=state).SerializeToString()
