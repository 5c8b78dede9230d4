"""The methods of the protocol, as grpc finds them: by path, from bytes to bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import grpc

from prism_core.plugin import Host
from prism_oip.rpc import oip_pb2 as pb
from prism_oip.rpc.calls import SERVICE, Call


class Paths(grpc.GenericRpcHandler):
    """Finds a method's handler; grpc answers UNIMPLEMENTED where there is none."""

    def __init__(self, handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]]) -> None:
        self._handlers = handlers

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Return the handler of a call."""
        return self._handlers.get(handler_call_details.method)


def handlers(host: Host) -> tuple[Paths, ...]:
    """Return what a server is given."""
    path = f"/{SERVICE}/ServerLive"

    async def live(body: bytes, context: Any) -> bytes:
        call = Call(host, context, path)
        answer = pb.ServerLiveResponse(live=True).SerializeToString()
        call.answered(len(answer))
        return answer

    return (Paths({path: grpc.unary_unary_rpc_method_handler(live)}),)
