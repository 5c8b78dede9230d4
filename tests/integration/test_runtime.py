"""A runtime's socket spoken to by the gateway's client and by plain HTTP; real sockets, one process."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import socket
import threading
from pathlib import Path

import httpx
import pytest

from prism_core import wire
from prism_core.errors import (
    DeadlineExceeded,
    InvalidInput,
    ModelFailed,
    ModelLoadFailed,
    ReplicaLost,
    Unauthorized,
)
from prism_core.gateway.cache import AnswerCache
from prism_core.gateway.client import connect
from prism_core.gateway.lane import Head, Lane, signature_of
from prism_core.gateway.lru import Store
from prism_core.manifest import Batching, Manifest
from prism_core.runtime.engine import Engine
from prism_core.runtime.server import Connection, Service, serve
from prism_core.runtime.session import Session
from prism_core.specs import Normalizer

_toys = importlib.util.spec_from_file_location(
    "toys", Path(__file__).parent.parent / "unit/runtime/conftest.py"
)
toys = importlib.util.module_from_spec(_toys)
_toys.loader.exec_module(toys)


class Replica:
    """One runtime on a Unix socket, inside the test's process."""

    def __init__(self, path: Path, *, failure=None, token="", protocol=Connection, **manifest):
        self.path, self.token, self.failure, self.protocol = path, token, failure, protocol
        self.model = toys.Doubler()
        self.manifest = Manifest("doubler", 1, "toy", "toy", "d.toy", "sha256:0", 1, 0.0, **manifest)

    async def __aenter__(self):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.listener.listen()
        normalizers = {"application/json": Normalizer("application/json", toys.read, toys.write)}
        engine = None
        if self.failure is None:
            engine = Engine(Session(self.manifest, self.model, normalizers), self.manifest.batching)
        self.service = Service(engine, failure=self.failure, token=self.token, warnings=("careful",))
        self.serving = asyncio.create_task(serve(self.service, self.listener, 5.0, self.protocol))
        return self

    async def __aexit__(self, *exc):
        self.model.gate.set()
        self.service.draining.set()
        await self.serving
        self.listener.close()

    @property
    def address(self):
        return f"unix:{self.path}"

    async def connect(self, **kwargs):
        self.lost = []
        return await connect(self.address, timeout_s=5, on_lost=self.lost.append, **kwargs)

    async def lane(self, cache=False):
        client = await self.connect()
        answers = AnswerCache(Store(1 << 20), b"salt", 60) if cache else None
        self.records = []
        lane = Lane(self.manifest, signature_of(client.ready), cache=answers, record=self.records.append)
        lane.add(client)
        return lane


async def begin(coroutine):
    """Start a call and return when its frame is on its way."""
    task = asyncio.create_task(coroutine)
    await asyncio.sleep(0)
    return task


@pytest.fixture
async def replica(tmp_path):
    async with Replica(tmp_path / "s") as replica:
        yield replica


async def test_ready_carries_the_signature_and_warnings(replica):
    client = await replica.connect()

    assert signature_of(client.ready) == toys.DOUBLER
    assert client.ready.warnings == ["careful"]
    await client.close()


async def test_many_calls_on_one_connection(replica):
    lane = await replica.lane()
    answers = await asyncio.gather(*(lane.predict(Head(), b"[%d]" % n) for n in range(200)))

    assert [json.loads(bytes(a.body))["predictions"] for a in answers] == [[2.0 * n] for n in range(200)]
    assert max(a.batch_rows for a in answers) > 1


async def test_errors_keep_their_type_and_details(replica):
    lane = await replica.lane()

    with pytest.raises(InvalidInput, match="No rows"):
        await lane.predict(Head(), b"[]")
    with pytest.raises(ModelFailed) as failed:
        await lane.predict(Head(), b"[-1]")
    assert failed.value.details["error_id"]
    assert [r.code for r in replica.records] == ["invalid_input", "model_failed"]


async def test_a_load_failure_is_reported_by_the_runtime(tmp_path):
    async with Replica(tmp_path / "s", failure=ModelLoadFailed("Broken file.", hint="Mend it.")) as replica:
        with pytest.raises(ModelLoadFailed, match="Broken file") as failed:
            await replica.connect()

        assert failed.value.hint == "Mend it."


async def test_a_wrong_token_is_refused(tmp_path):
    async with Replica(tmp_path / "s", token="secret") as replica:
        with pytest.raises(Unauthorized):
            await replica.connect(token="guess")
        client = await replica.connect(token="secret")
        await client.close()


async def test_pings_are_answered_while_the_model_computes(replica):
    lane = await replica.lane()
    client = lane.clients[0]
    replica.model.gate.clear()
    calling = await begin(lane.predict(Head(), b"[1]"))
    await client.ping(5)
    await client.ping(5)
    more = await begin(lane.predict(Head(), b"[2, 3]"))

    assert (await client.ping(5)).waiting_rows == 2
    replica.model.gate.set()
    await asyncio.gather(calling, more)
    assert (await client.ping(5)).rows == 3
    await client.close()


async def test_a_caller_that_gives_up_is_cancelled_in_the_runtime(replica):
    lane = await replica.lane()
    client = lane.clients[0]
    replica.model.gate.clear()
    running = await begin(lane.predict(Head(), b"[1]"))
    await client.ping(5)
    waiting = await begin(lane.predict(Head(), b"[2]"))
    neighbour = await begin(lane.predict(Head(), b"[3]"))
    await client.ping(5)
    waiting.cancel()
    await client.ping(5)
    assert (await client.ping(5)).waiting_rows == 1
    replica.model.gate.set()

    assert json.loads(bytes((await neighbour).body))["predictions"] == [6.0]
    await running
    assert replica.model.executed == [[1], [3]]
    await client.close()


async def test_what_is_let_go_is_cancelled_where_it_waits_and_ends_where_it_is_computed(replica):
    lane = await replica.lane()
    client, ended = lane.clients[0], asyncio.get_running_loop().create_future()
    replica.model.gate.clear()
    running = client.ask(Head(), b"[1]", 30.0, pytest.fail)
    await client.ping(5)
    waiting = client.ask(Head(), b"[2]", 30.0, pytest.fail)
    assert (await client.ping(5)).waiting_rows == 1

    client.let_go(waiting, pytest.fail)
    assert (await client.ping(5)).waiting_rows == 0
    client.let_go(running, lambda reply, body: ended.set_result(reply))
    assert client.in_flight == 1
    replica.model.gate.set()
    assert type(await ended) is wire.Reply
    assert (client.in_flight, replica.model.executed) == (0, [[1]])
    await client.close()


async def test_a_deadline_that_passes_is_answered_in_time(replica):
    lane = await replica.lane()
    replica.model.gate.clear()
    with pytest.raises(DeadlineExceeded):
        await lane.predict(Head(), b"[1]", timeout_s=0.05)
    replica.model.gate.set()


async def test_equal_requests_are_computed_once_and_then_kept(replica):
    lane = await replica.lane(cache=True)
    together = await asyncio.gather(*(lane.predict(Head(), b"[5]") for _ in range(5)))
    later = await lane.predict(Head(), b"[5]")
    fresh = await lane.predict(Head(cached=False), b"[5]")

    assert [p.cache for p in together] == ["miss"] + ["coalesced"] * 4
    assert (later.cache, fresh.cache) == ("hit", "bypass")
    assert len(replica.model.executed) == 2
    assert {bytes(p.body) for p in (*together, later, fresh)} == {bytes(later.body)}


async def test_a_lost_replica_is_retried_on_another(tmp_path):
    async with Replica(tmp_path / "a") as dying, Replica(tmp_path / "b") as other:
        lane = await dying.lane()
        dying.model.gate.clear()
        calling = await begin(lane.predict(Head(), b"[1]"))
        await lane.clients[0].ping(5)
        lost = lane.clients[0]
        lane.add(await other.connect())
        await lost.close()

        assert json.loads(bytes((await calling).body))["predictions"] == [2.0]
        assert dying.lost == [lost]


async def test_a_lost_replica_waits_for_the_restarted_one(tmp_path):
    async with Replica(tmp_path / "a") as dying, Replica(tmp_path / "b") as restarted:
        lane = await dying.lane()
        lost = lane.clients[0]
        await lost.close()
        lane.remove(lost)
        calling = await begin(lane.predict(Head(), b"[1]"))
        await asyncio.sleep(0)
        lane.add(await restarted.connect())

        assert (await calling).rows == 1


async def test_what_is_not_deterministic_is_not_retried(tmp_path):
    async with Replica(tmp_path / "a", deterministic=False) as dying, Replica(tmp_path / "b") as other:
        lane = await dying.lane()
        dying.model.gate.clear()
        calling = await begin(lane.predict(Head(), b"[1]"))
        await lane.clients[0].ping(5)
        lost = lane.clients[0]
        lane.add(await other.connect())
        await lost.close()

        with pytest.raises(ReplicaLost):
            await calling


async def test_drain_answers_what_is_in_flight(tmp_path):
    async with Replica(tmp_path / "s", batching=Batching(latency_slo_ms=0)) as replica:
        lane = await replica.lane()
        client = lane.clients[0]
        replica.model.gate.clear()
        calling = await begin(lane.predict(Head(), b"[1]"))
        await client.ping(5)
        client.drain()
        threading.Timer(0.05, replica.model.gate.set).start()

        assert (await calling).rows == 1
        await replica.serving


async def test_garbage_ends_the_connection_and_nothing_else(replica):
    client = await replica.connect()
    for garbage in (
        b"\x00\x00\x00\x00",
        wire.PREFIX.pack(5, 0) + b"\xc1\xc1\xc1\xc1\xc1",
        wire.encode(wire.Call(1)),
    ):
        reader, writer = await asyncio.open_unix_connection(str(replica.path))
        writer.write(garbage + b"\0" * 8)
        assert await reader.read() == b""
        writer.close()

    assert (await client.ping(5)).executions == 0
    await client.close()


@pytest.fixture
async def http(replica):
    transport = httpx.AsyncHTTPTransport(uds=str(replica.path))
    async with httpx.AsyncClient(transport=transport, base_url="http://replica") as client:
        yield client


async def test_plain_http_predicts(http):
    assert (await http.get("/health")).json()["state"] == "ready"
    answer = await http.post("/predict?outputs=predictions", content=b"[1, 2]")
    assert answer.json()["predictions"] == [2.0, 4.0]


@pytest.mark.parametrize(
    ("method", "path", "content", "status"),
    [
        ("POST", "/predict", b"[]", 422),
        ("POST", "/predict", b"[", 400),
        ("POST", "/predict", b"[-1]", 500),
        ("GET", "/predict", b"", 405),
        ("GET", "/nowhere", b"", 404),
    ],
)
async def test_plain_http_refuses(http, method, path, content, status):
    answer = await http.request(method, path, content=content)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "head", [b"nonsense\r\n\r\n", b"POST /predict HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"A" * 70_000]
)
async def test_plain_http_refuses_a_head_that_cannot_be_read(replica, head):
    reader, writer = await asyncio.open_unix_connection(str(replica.path))
    writer.write(head)
    answer = await reader.read()
    writer.close()

    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 431"))
