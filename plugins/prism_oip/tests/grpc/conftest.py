"""Real servers that speak gRPC, clients that know nothing of PRISM, and a host whose models are functions."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import grpc
import httpx
import joblib
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from prism_core.errors import InternalError, PrismError
from prism_core.plugin import NOBODY, Caller, Served, Surroundings
from prism_core.testing.server import ServerProcess
from prism_oip.rpc import oip_pb2 as pb
from prism_oip.rpc.config import GrpcConfig
from prism_oip.rpc.frontend import VARIABLES

# As the server sets them for itself; the library begins once in this process.
for name, value in VARIABLES.items():
    os.environ.setdefault(name, value)

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


@pytest.fixture(scope="session")
def new_client():
    """Return what makes stubs over a channel."""
    return Client


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """Return a directory with ``line.pkl`` (y = 2 a + 3 b) and ``other.pkl`` (ten times that)."""
    directory = tmp_path_factory.mktemp("models")
    x = np.array([[0.0, 0], [1, 0], [0, 1], [2, 5]])
    joblib.dump(LinearRegression().fit(x, x @ [2, 3]), directory / "line.pkl")
    joblib.dump(LinearRegression().fit(x, x @ [20, 30]), directory / "other.pkl")
    return directory


@pytest.fixture(scope="session")
def server(tmp_path_factory, models):
    """A server that anybody may ask, with both models."""
    config = serving_at_start(line=models / "line.pkl", other=models / "other.pkl")
    directory = tmp_path_factory.mktemp("grpc") / "data"
    with ServerProcess(directory, "--grpc-port", "0", config=config) as server:
        settle(server)
        yield server


@pytest.fixture(scope="session")
def configured():
    """Return what makes settings with models, and what waits until they are up."""
    return serving_at_start, settle


def serving_at_start(**paths):
    """Return the text of settings in which models are brought up at start."""
    return json.dumps({"models": {name: {"path": str(path)} for name, path in paths.items()}})


def settle(server):
    """Wait until the models of the settings are up."""
    ends = time.monotonic() + 60
    while httpx.get(f"{server.url}/health/ready", verify=False).status_code != 200:
        assert time.monotonic() < ends, server.log.read_text()
        time.sleep(0.02)


@pytest.fixture(scope="session")
def target():
    """Return what tells where a server speaks gRPC, as clients are told it."""
    return lambda server: server.facts["grpc"].partition("://")[2]


@pytest.fixture
def client(server, target):
    with grpc.insecure_channel(target(server)) as channel:
        yield Client(channel)


# --- a host in this process ---------------------------------------------------------------------


@attrs.frozen
class Let:
    """Who was let in."""

    caller: Caller = NOBODY
    lines: bytes = b""


@attrs.frozen
class Answer:
    body: bytes
    media_type: str = "application/vnd.prism.oip.grpc"
    model: str = "toy"
    version: int = 1
    rows: int = 1
    cache: str = "miss"
    batch_rows: int = 1
    queue_us: int = 0
    compute_us: int = 0
    lines: bytes = b""


@attrs.define
class ToyHost:
    """A host with one model, a coroutine function of the request's message; everybody may ask it.

    ``noted`` are the statuses of what was answered, ``doors`` what the door was asked.
    """

    model: Callable[[pb.ModelInferRequest], Awaitable[pb.ModelInferResponse]]
    surroundings: Surroundings = attrs.field(factory=lambda: Surroundings("127.0.0.1", 8000))
    version: str = "1.2.3"
    noted: list[int] = attrs.field(factory=list)
    doors: list[tuple[Any, ...]] = attrs.field(factory=list)
    asked: list[dict[str, Any]] = attrs.field(factory=list)
    refusal: PrismError | None = None
    lines: bytes = b""
    routed: bytes = b""
    ready: bool = True
    changed: asyncio.Event = attrs.field(factory=asyncio.Event)

    def settled(self):
        return self.ready

    def enter(self, model, verb, headers, client, body_bytes=0):
        self.doors.append((model, verb, dict(headers), client, body_bytes))
        if self.refusal:
            raise self.refusal
        return Let(lines=self.lines)

    def failed(self, admitted, error):
        return error if isinstance(error, PrismError) else InternalError(repr(error))

    async def predict(self, reference, body, **told):
        self.asked.append({"reference": reference, **told})
        answer = await self.model(pb.ModelInferRequest.FromString(bytes(body)))
        return Answer(memoryview(answer.SerializeToString()), lines=self.routed)

    def find(self, reference):
        return Served("toy", 1, "READY" if self.ready else "STARTING")

    def note(self, method, path, client, status, size, seconds, **more):
        self.noted.append(status)
        self.changed.set()

    async def until_noted(self, count):
        """Wait until so many requests have had their line."""
        while len(self.noted) < count:
            self.changed.clear()
            await self.changed.wait()


@pytest.fixture(scope="session")
def toy_host():
    return ToyHost


@pytest.fixture(scope="session")
def speaking():
    """Return what speaks gRPC for a host: a context manager of the open face and an asyncio client."""

    @asynccontextmanager
    async def speaking(host):
        from prism_oip.rpc.face import serving

        async with (
            serving(GrpcConfig(0), host) as face,
            grpc.aio.insecure_channel(face.url.partition("://")[2]) as channel,
        ):
            yield face, Client(channel)

    return speaking


@pytest.fixture(scope="session")
def until():
    """Return what asks until there is an answer, and returns it."""

    def until(question, seconds=20.0):
        ends = time.monotonic() + seconds
        while not (answer := question()):
            assert time.monotonic() < ends, question
            time.sleep(0.02)
        return answer

    return until


@pytest.fixture(scope="session")
def around_of():
    """Return what makes surroundings on this machine."""
    return lambda **more: Surroundings("127.0.0.1", 8000, **more)
