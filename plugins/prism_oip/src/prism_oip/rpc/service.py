"""The methods of the protocol, as grpc finds them: by path, from bytes to bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import grpc

from prism_core.plugin import Host
from prism_oip.rpc.calls import SERVICE, unary
from prism_oip.rpc.flight import Flight
from prism_oip.rpc.inference import infer
from prism_oip.rpc.streaming import streaming
from prism_oip.rpc.telling import METHODS, work_of

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"  # no generic class when it runs


class Paths(grpc.GenericRpcHandler):
    """Finds a method's handler; grpc answers UNIMPLEMENTED where there is none."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self._handlers = handlers

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler | None:
        """Return the handler of a call."""
        return self._handlers.get(handler_call_details.method)


def inference(host: Host, flight: Flight) -> dict[str, Handler]:
    """Return the handlers of the inference service, by path."""
    works = {method.name: work_of(method) for method in METHODS} | {"ModelInfer": infer}
    found = {path_of(name): unary(host, flight, path_of(name), work) for name, work in works.items()}
    stream = path_of("ModelStreamInfer")
    return found | {stream: streaming(host, flight, stream)}


def path_of(method: str) -> str:
    """Return the path of a method, as a request of HTTP/2 has it."""
    return f"/{SERVICE}/{method}"
