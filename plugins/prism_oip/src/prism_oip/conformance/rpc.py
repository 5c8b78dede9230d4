"""Carry calls to a server by gRPC: whatever it does, there is a `Reply`, in time and in bounds.

The only module of the kit that imports grpc and protobuf; imported where gRPC is asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import attrs
import grpc
from google.protobuf.message import DecodeError, Message

from prism_core.plugin import MalformedBody
from prism_oip.conformance.exchange import Call, Reply
from prism_oip.rpc import oip_pb2 as pb
from prism_oip.wire import fields

SERVICE = "inference.GRPCInferenceService"
MAX_ANSWER_BYTES = 64 * 1024 * 1024
MAX_STREAMED = 100
# What the channel itself says where nobody answers.
UNANSWERED = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED"})


@attrs.frozen
class Method:
    """A method as the wire has it."""

    path: str
    asks: type[Message]
    answers: type[Message]
    streams: bool = False


def method_of(name: str) -> Method:
    """Return a method by the name that a `Call` has."""
    service, _, own = name.rpartition("/")
    if service == "grpc.health.v1.Health":
        from grpc_health.v1 import health_pb2 as health

        return Method(f"/{name}", health.HealthCheckRequest, health.HealthCheckResponse)
    if service == "grpc.reflection.v1alpha.ServerReflection":
        from grpc_reflection.v1alpha import reflection_pb2 as reflection

        return Method(
            f"/{name}", reflection.ServerReflectionRequest, reflection.ServerReflectionResponse, streams=True
        )
    told = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods_by_name[own]
    asks, answers = getattr(pb, told.input_type.name), getattr(pb, told.output_type.name)
    return Method(f"/{SERVICE}/{own}", asks, answers, told.client_streaming)


@attrs.frozen
class RpcSession:
    """A server by its address.

    Calls are made in a thread: grpc's aio loses the status of a stream that ends while it still sends.
    """

    channel: grpc.Channel
    timeout_s: float
    metadata: tuple[tuple[str, str], ...] = ()

    async def ask(self, call: Call) -> Reply:
        """Make a call; return what came, or why nothing did."""
        return await asyncio.to_thread(self._asked, call)

    def _asked(self, call: Call) -> Reply:
        method = method_of(call.method)
        sent = [_bytes(method.asks, one) for one in call.messages]
        came: list[bytes] = []
        try:
            self._called(method, sent, came)
        except grpc.RpcError as error:
            return _failed(method, error, came)
        return _read(method, came, "OK", "")

    def _called(self, method: Method, sent: Sequence[bytes], came: list[bytes]) -> None:
        settings: dict[str, Any] = {"timeout": self.timeout_s, "metadata": self.metadata}
        if not method.streams:
            ask: Any = self.channel.unary_unary(method.path)
            came.append(ask(sent[0], **settings))
            return
        streams: Any = self.channel.stream_stream(method.path)
        answers = streams(iter(sent), **settings)
        for one in answers:
            came.append(one)
            if len(came) >= MAX_STREAMED:
                answers.cancel()
                return


def _bytes(kind: type[Message], message: Mapping[str, Any] | bytes) -> bytes:
    return message if isinstance(message, bytes) else kind(**message).SerializeToString()


def _failed(method: Method, error: Any, came: Sequence[bytes]) -> Reply:
    code, details = error.code().name, error.details() or ""
    if code in UNANSWERED:
        return Reply(fault=f"{code}: {details}")
    return _read(method, came, code, details)


def _read(method: Method, came: Sequence[bytes], code: str, details: str) -> Reply:
    try:
        return Reply(code, details, tuple(_message(method.answers, one) for one in came))
    except (DecodeError, MalformedBody) as error:
        return Reply(fault=f"an answer that is no {method.answers.__name__}: {error}")


def _message(kind: type[Message], body: bytes) -> Message:
    return kind.FromString(_without_properties(body) if kind is pb.ModelMetadataResponse else body)


def _without_properties(body: bytes) -> bytes:
    """Return a model's metadata without its field 6, which is MLServer's, or another of the newer text."""
    parts, at = [], 0
    for tag, _, stop in fields(body, 0, len(body)):
        if tag >> 3 != 6:
            parts.append(body[at:stop])
        at = stop
    return b"".join(parts)


@asynccontextmanager
async def open_rpc(
    address: str, timeout_s: float, headers: Mapping[str, str], ca: str = ""
) -> AsyncIterator[RpcSession]:
    """Open a channel to HOST:PORT, ``grpc://HOST:PORT`` or, encrypted, ``grpcs://HOST:PORT``."""
    scheme, _, place = address.rpartition("://")
    options = [("grpc.max_receive_message_length", MAX_ANSWER_BYTES), ("grpc.enable_retries", 0)]
    metadata = tuple((name.lower(), value) for name, value in headers.items())
    if scheme == "grpcs":
        trusted = grpc.ssl_channel_credentials(ca.encode() or None)
        channel = grpc.secure_channel(place, trusted, options)
    else:
        channel = grpc.insecure_channel(place, options)
    with channel:
        yield RpcSession(channel, timeout_s, metadata)
