"""Damaged frames: at the reader, at a replica, and at a gateway whose replica has been taken over."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator

import msgspec
import pytest

from prism_core import wire
from prism_core.filling import LARGE_BYTES
from prism_core.gateway.client import ReplicaClient
from prism_core.gateway.lane import Head
from prism_core.inputs import prism_normalizers
from prism_core.manifest import Batching, Manifest
from prism_core.runtime.engine import Engine
from prism_core.runtime.server import Connection, Service
from prism_core.runtime.session import Session
from prism_core.testing import Doubler
from prism_core.testing.fuzzing import fuzz

pytestmark = [pytest.mark.sweep, pytest.mark.filterwarnings("ignore")]

BODY = b'{"input": [[1.5]]}'


def frame(one: wire.Frame, body: bytes = b"") -> bytes:
    return wire.encode(one, len(body)) + body


LARGE = frame(wire.Call(9, "application/octet-stream"), bytes(LARGE_BYTES + 8))
CALLS = [
    frame(wire.Hello()) + frame(wire.Call(1), BODY) + frame(wire.Ping(2)),
    frame(wire.Hello()) + frame(wire.Call(1, "text/csv", "text/csv", 50.0, "header=false"), b"1\n2\n"),
    frame(wire.Hello()) + frame(wire.Call(1, query="outputs=halves"), BODY) + frame(wire.Cancel(1)),
    frame(wire.Hello(token="x")) + frame(wire.Drain()),
    b"POST /predict?outputs=halves HTTP/1.1\r\nHost: r\r\nContent-Length: 18\r\nAccept: text/csv\r\n\r\n"
    + BODY,
    b"GET /health HTTP/1.1\r\nHost: replica\r\n\r\nGET /health HTTP/1.1\r\n\r\n",
]
ANSWERS = [
    frame(wire.Reply(1, "application/json", 1, 1, 10, 20), b'{"predictions": [3]}'),
    frame(wire.Error(1, "invalid_input", "It is wrong.", "Mend it.", {"errors": [{"row": 1}]})),
    frame(wire.Ready(7, {"inputs": [], "outputs": []}, ["warm"], 1.5, "toy 1"))
    + frame(wire.Stats(1, 2, 3, 4, 5)),
]


class Transport(asyncio.Transport):
    """Remembers what was written and who is spoken to."""

    def __init__(self) -> None:
        super().__init__()
        self.protocol: asyncio.BaseProtocol | None = None
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written.append(bytes(data))

    def writelines(self, parts: list[bytes]) -> None:
        self.written.append(b"".join(parts))

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


def pieces(data: bytes) -> Iterator[bytes]:
    """Cut where the data itself says, so that a case is the same each time."""
    at = 0
    while at < len(data):
        step = max(1 + data[at] * (1 + at % 7), len(data) // 64)
        yield data[at : at + step]
        at += step


def test_any_bytes_are_frames_or_an_error():
    """However they are cut, they are the same frames."""

    def read(data):
        receiver, found = wire.Receiver(100_000), []
        for piece in pieces(data):
            found += [(one, bytes(body)) for one, body in receiver.feed(piece)]
        whole = [(one, bytes(body)) for one, body in wire.Receiver(100_000).feed(data)]
        assert repr(found) == repr(whole)  # a number may be NaN, which equals nothing

    report = fuzz(read, [*CALLS[:4], *ANSWERS], cases=6000, allowed=(wire.WireError,))

    assert 0 < report.refused < report.cases


@pytest.fixture
def told():
    """What the loop was told of: exceptions that nobody caught."""
    return []


@pytest.fixture
def loop(told):
    with asyncio.Runner() as runner:
        runner.get_loop().set_exception_handler(lambda loop, context: told.append(context))
        yield runner


def given(transport: Transport, protocol: asyncio.BaseProtocol, data: bytes) -> None:
    """Let ``data`` arrive, at whoever receives by then."""
    transport.protocol = protocol
    for piece in pieces(data):
        receiver = transport.protocol
        if isinstance(receiver, asyncio.BufferedProtocol):
            taken = piece[: len(receiver.get_buffer(-1))]
            receiver.get_buffer(-1)[: len(taken)] = taken
            receiver.buffer_updated(len(taken))
            piece = piece[len(taken) :]
        if piece and not transport.closed:
            transport.protocol.data_received(piece)


@pytest.mark.parametrize("seeds", [CALLS, [frame(wire.Hello()) + LARGE]], ids=["small", "large"])
def test_a_replica_answers_or_closes(loop, told, seeds):
    model = Doubler()
    manifest = Manifest(
        "doubler", 1, "toy", "toy", "d", "sha256:0", 1, 0.0, batching=Batching(latency_slo_ms=0)
    )
    normalizers = {one.media_type: one for one in prism_normalizers()}

    async def make() -> Service:
        return Service(Engine(Session(manifest, model, normalizers), manifest.batching))

    service = loop.run(make())

    async def one(data: bytes) -> None:
        transport = Transport()
        connection = Connection(service)
        connection.connection_made(transport)
        given(transport, connection, data)
        for _ in range(6):
            await asyncio.sleep(0)
        transport.protocol.connection_lost(None)
        await service.drain()
        service.draining.clear()

    fuzz(lambda data: loop.run(one(data)), seeds, cases=4000 if seeds is CALLS else 400)

    assert not told
    assert not service.connections


def test_a_gateway_survives_its_replica(loop, told):
    """What waits for an answer gets one, or is told that the replica is gone."""
    heard = []

    async def one(data: bytes) -> None:
        transport = Transport()
        client = ReplicaClient("unix:replica", lambda lost: None)
        client.connection_made(transport)
        client.ask(Head(), BODY, 30.0, lambda answer, body: heard.append(answer))
        given(transport, client, data)
        transport.protocol.connection_lost(None)
        await asyncio.sleep(0)
        assert len(heard) == 1
        heard.clear()

    fuzz(lambda data: loop.run(one(data)), ANSWERS, cases=4000)

    assert not told


def test_every_error_of_a_replica_is_an_error_that_can_be_told():
    """Codes and details come from a process that ran somebody's model."""
    from prism_core.errors import error_from_code
    from prism_core.rest.errors import problem_response

    def tell(data):
        for one, _ in wire.Receiver().feed(data):
            if isinstance(one, wire.Error):
                error = error_from_code(one.code, one.message, one.hint, one.details)
                status, headers, body = problem_response(error)
                assert 400 <= status < 600
                assert msgspec.json.decode(body)["status"] == status
                assert not any(b"\n" in value or b"\r" in value for _, value in headers)

    seeds = [
        frame(wire.Error(1, "overloaded", "Full.", "", {"retry_after_s": 1.5})),
        frame(wire.Error(1, "method_not_allowed", "No.", "", {"allow": "GET"})),
        frame(wire.Error(1, "model_failed", "No.", "", {"error_id": "12"})),
        frame(wire.Error(1, "rate_limited", "No.", "", {"retry_after_s": math.inf, "limit": [1, {}]})),
    ]
    fuzz(tell, seeds, cases=2000, allowed=(wire.WireError,))
