"""Clients of a replica alone that are slow, silent or gone: what each of them costs is bounded."""

from __future__ import annotations

import asyncio
import json

import pytest

from prism_core.errors import ModelLoadFailed
from prism_core.runtime.http import Bounds
from prism_core.runtime.server import Stranger
from tests.integration.test_runtime import Replica

QUICK = Bounds(max_body_bytes=2000, head_s=0.1, body_s=0.1, body_rate=100_000, write_s=0.1, idle_s=0.1)
HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"


class Client:
    """What opens connections to a replica."""

    def __init__(self, replica: Replica) -> None:
        self.replica = replica

    async def says(self, *parts: bytes) -> bytes:
        """Send bytes and return all that comes until the replica ends the connection."""
        reader, writer = await self.open(*parts)
        try:
            return await reader.read()
        finally:
            writer.close()

    async def open(self, *parts: bytes):
        """Send bytes; return the connection."""
        reader, writer = await asyncio.open_unix_connection(str(self.replica.path))
        for part in parts:
            writer.write(part)
            await asyncio.sleep(0)
        return reader, writer


@pytest.fixture
async def alone(tmp_path):
    async with Replica(tmp_path / "s", protocol=Stranger) as replica:
        yield Client(replica)


@pytest.fixture
def quick(alone):
    """A client for whom the replica waits no longer than a tenth of a second."""
    alone.replica.service.bounds = QUICK
    return alone


async def test_a_request_in_single_bytes(alone):
    data = (HEAD % 3).replace(b"Host", b"Connection: close\r\nHost") + b"[4]"
    answer = await alone.says(*(data[at : at + 1] for at in range(len(data))))

    assert json.loads(answer.partition(b"\r\n\r\n")[2])["predictions"] == [8.0]


@pytest.mark.parametrize(
    "said",
    [b"POST /predict HT", HEAD % 10 + b"[1", HEAD % 3 + b"[1]" + b"POST /pre"],
    ids=["head", "body", "next"],
)
async def test_what_does_not_come_in_time_is_told_so(quick, said):
    answer = await quick.says(said)

    assert answer.count(b"HTTP/1.1 408 Request Timeout") == 1
    assert (b"HTTP/1.1 200" in answer) == (said.count(b"POST") == 2)


@pytest.mark.parametrize("said", [b"", HEAD % 3 + b"[1]"], ids=["silent", "idle"])
async def test_who_says_nothing_is_let_go_without_a_word(quick, said):
    answer = await quick.says(said)

    assert answer.count(b"HTTP/1.1") == bool(said)


async def test_who_does_not_read_is_let_go(quick):
    """What it has asked for further is not read, and nothing more is made for it."""
    pages = b"GET /v2/models/doubler HTTP/1.1\r\nHost: x\r\n\r\n" * 20_000
    _reader, writer = await quick.open()

    async def ask_on():
        while True:
            writer.write(pages)
            await writer.drain()

    with pytest.raises(ConnectionError):
        await ask_on()
    writer.close()
    await quick.replica.service.empty.wait()


async def test_a_client_that_leaves_is_computed_for_no_more(alone):
    engine, model = alone.replica.service.engine, alone.replica.model
    model.gate.clear()
    _, first = await alone.open(HEAD % 3 + b"[1]")
    await until(lambda: engine._busy)
    _, second = await alone.open(HEAD % 3 + b"[2]")
    await until(lambda: engine.queue.waiting_rows)
    second.close()
    await until(lambda: not engine.queue.waiting_rows)
    model.gate.set()
    await engine.drain()
    first.close()

    assert model.executed == [[1.0]]


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


async def test_a_body_that_is_announced_too_large_is_refused_at_once(quick):
    answer = await quick.says(HEAD % 2001)

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"at most 2000 are taken" in answer


async def test_a_model_that_did_not_load_is_alive_and_not_ready(tmp_path):
    failure = ModelLoadFailed("It does not load.")
    async with Replica(tmp_path / "s", failure=failure, protocol=Stranger) as replica:
        ask = b"GET %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        answers = [
            await Client(replica).says(ask % path)
            for path in (b"/v2/health/live", b"/v2/health/ready", b"/v2/models/doubler")
        ]

    assert [answer.split()[1] for answer in answers] == [b"200", b"503", b"422"]
