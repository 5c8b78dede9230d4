"""Real servers that speak gRPC, and clients that know nothing of PRISM."""

from __future__ import annotations

import grpc
import pytest

from prism_core.testing.server import ServerProcess
from prism_oip.rpc import oip_pb2 as pb

SERVICE = "inference.GRPCInferenceService"


class Client:
    """The protocol's stubs over a channel, plain or of asyncio."""

    def __init__(self, channel):
        self.channel = channel
        for method in pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods:
            make = channel.stream_stream if method.client_streaming else channel.unary_unary
            stub = make(
                f"/{SERVICE}/{method.name}",
                request_serializer=getattr(pb, method.input_type.name).SerializeToString,
                response_deserializer=getattr(pb, method.output_type.name).FromString,
            )
            setattr(self, method.name, stub)


def target_of(server):
    """Return where a server speaks gRPC, as clients are told it."""
    return server.facts["grpc"].partition("://")[2]


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    with ServerProcess(tmp_path_factory.mktemp("grpc") / "data", "--grpc-port", "0") as server:
        yield server


@pytest.fixture
def client(server):
    with grpc.insecure_channel(target_of(server)) as channel:
        yield Client(channel)
