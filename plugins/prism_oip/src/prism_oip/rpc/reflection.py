"""Server reflection: what `grpcurl` and the like ask to learn the protocol."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from grpc_reflection.v1alpha import reflection as offered
from grpc_reflection.v1alpha import reflection_pb2

from prism_oip.rpc.calls import SERVICE
from prism_oip.rpc.health import NAME as HEALTH

# The messages of both are the same.
_PATHS = tuple(f"/grpc.reflection.{v}.ServerReflection/ServerReflectionInfo" for v in ("v1", "v1alpha"))


def reflection(stopping: asyncio.Event) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
    """Return the handlers of reflection, by path.

    Whoever looks at services often leaves the stream open: it ends once ``stopping`` is set.
    """
    servicer: Any = offered.aio.ReflectionServicer((SERVICE, HEALTH, offered.SERVICE_NAME))

    async def info(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        async for answer in servicer.ServerReflectionInfo(until(stopping, requests), context):
            yield answer

    answering: Any = info
    handler = grpc.stream_stream_rpc_method_handler(
        answering,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    return dict.fromkeys(_PATHS, handler)


async def until(stopping: asyncio.Event, requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    """Yield what comes until there is no more, or ``stopping`` is set."""
    stopped = asyncio.ensure_future(stopping.wait())
    end = object()
    try:
        while not stopping.is_set():
            coming: asyncio.Future[Any] = asyncio.ensure_future(anext(requests, end))
            await asyncio.wait({coming, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not coming.done():
                coming.cancel()
                return
            if (request := coming.result()) is end:
                return
            yield request
    finally:
        stopped.cancel()
