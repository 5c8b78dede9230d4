"""Large bodies and answers through a runtime's socket, with small requests beside them."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import threading
from pathlib import Path

import numpy as np
import pytest

from prism_core.errors import DeadlineExceeded, InternalError, InvalidInput, Overloaded
from prism_core.filling import LARGE_BYTES
from prism_core.gateway.lane import Head
from prism_core.inputs import prism_normalizers
from prism_core.runtime.large import LARGE_VALUES
from prism_core.runtime.server import Service
from prism_core.specs import Normalizer, TakesLong

_here = Path(__file__).parent
_spec = importlib.util.spec_from_file_location("runtime_toys", _here / "test_runtime.py")
toys = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(toys)

BUILT_IN = {one.media_type: one for one in prism_normalizers()}
ROWS = 400_000
VALUES = [n % 400 for n in range(ROWS)]
TABLE = b'{"input": [' + b",".join(b"[%d]" % n for n in VALUES) + b"]}"
SMALL = b'{"input": [[1.5]]}'
assert len(TABLE) > 8 * LARGE_BYTES


class Replica(toys.Replica):
    """A replica with the built-in media types, or others."""

    normalizers = BUILT_IN

    async def __aenter__(self):
        await super().__aenter__()
        self.service.engine.session._normalizers = self.normalizers
        return self


@pytest.fixture
async def replica(tmp_path):
    async with Replica(tmp_path / "s") as replica:
        yield replica


def predictions(prediction):
    return json.loads(bytes(prediction.body))["predictions"]


async def settled(service: Service) -> None:
    """Wait until nothing large is open in a runtime."""
    async with asyncio.timeout(10):
        await service.large.drain()


async def test_small_requests_are_answered_while_a_large_one_is_read(replica):
    lane = await replica.lane()
    large = await toys.begin(lane.predict(Head(), TABLE))
    answers = [await lane.predict(Head(), b'{"input": [[%d]]}' % n) for n in range(5)]
    assert not large.done()

    assert [predictions(a) for a in answers] == [[2.0 * n] for n in range(5)]
    assert predictions(await large) == [2.0 * n for n in VALUES]


async def test_small_requests_are_answered_between_the_parts_of_a_large_one(replica):
    lane = await replica.lane()
    replica.model.gate.clear()
    large = await toys.begin(lane.predict(Head(), TABLE))
    async with asyncio.timeout(20):
        while not replica.service.engine.queue.large_rows:
            await asyncio.sleep(0.01)
    small = await toys.begin(lane.predict(Head(), SMALL))
    replica.model.gate.set()

    assert predictions(await small) == [3.0]
    assert not large.done()
    assert predictions(await large) == [2.0 * n for n in VALUES]
    parts = [len(rows) for rows in replica.model.executed]
    assert max(parts) <= 1024


async def test_large_requests_are_read_in_turn_and_none_is_refused(replica):
    lane = await replica.lane()
    answers = await asyncio.gather(*(lane.predict(Head(), TABLE) for _ in range(3)))

    assert [len(predictions(a)) for a in answers] == [ROWS] * 3


async def test_a_fault_in_a_large_body_is_told_as_in_a_small_one(replica):
    lane = await replica.lane()
    body = TABLE.replace(b",[5]", b",[5, 6]", 1).removesuffix(b"[399]]}") + b'["x"]]}'
    large = await toys.begin(lane.predict(Head(), body))

    assert predictions(await lane.predict(Head(), SMALL)) == [3.0]
    with pytest.raises(InvalidInput, match="2 faults") as refused:
        await large
    assert [(e["row"], e["got"]) for e in refused.value.details["errors"]] == [
        (5, "2 values"),
        (ROWS - 1, "'x'"),
    ]


async def test_a_large_request_that_nobody_waits_for_is_not_read_to_its_end(replica):
    lane = await replica.lane()
    large = await toys.begin(lane.predict(Head(), TABLE))
    await lane.predict(Head(), SMALL)
    large.cancel()
    with pytest.raises(asyncio.CancelledError):
        await large
    assert predictions(await lane.predict(Head(), SMALL)) == [3.0]

    await settled(replica.service)
    assert sum(map(len, replica.model.executed)) == 2


async def test_one_that_is_cancelled_between_its_parts_is_not_computed_to_its_end(replica):
    lane = await replica.lane()
    replica.model.gate.clear()
    large = await toys.begin(lane.predict(Head(), TABLE))
    async with asyncio.timeout(20):
        while not replica.service.engine.queue.large_rows:
            await asyncio.sleep(0.01)
    large.cancel()
    with pytest.raises(asyncio.CancelledError):
        await large
    await settled(replica.service)
    replica.model.gate.set()
    await lane.predict(Head(), SMALL)

    assert sum(map(len, replica.model.executed)) < ROWS


async def test_a_connection_that_is_lost_takes_its_large_requests_with_it(replica):
    lane = await replica.lane()
    large = await toys.begin(lane.predict(Head(), TABLE))
    await lane.predict(Head(), SMALL)
    await lane.clients[0].close()

    await settled(replica.service)
    assert sum(map(len, replica.model.executed)) == 1
    large.cancel()


async def test_a_deadline_that_passes_while_a_large_one_waits_is_told(replica):
    lane = await replica.lane()
    replica.model.gate.clear()
    first = await toys.begin(lane.predict(Head(), TABLE))
    with pytest.raises(DeadlineExceeded):
        await lane.predict(Head(), TABLE, 0.3)
    replica.model.gate.set()

    assert len(predictions(await first)) == ROWS


async def test_a_large_answer_is_whole_and_small_ones_go_before_it(replica):
    lane = await replica.lane()
    body = b"[" + b",".join(b"[%d]" % (n % 10) for n in range(LARGE_VALUES + 1)) + b"]"
    assert len(body) < LARGE_BYTES
    answer = await lane.predict(Head(query="outputs=halves"), body)

    found = json.loads(bytes(answer.body))
    assert found["halves"] == [(n % 10) / 2 for n in range(LARGE_VALUES + 1)]
    assert answer.rows == LARGE_VALUES + 1


async def test_arrays_csv_and_what_they_answer(replica):
    lane = await replica.lane()
    values = np.arange(100_000, dtype=np.float64)[:, None] % 400 + 1_000_000
    raw = await lane.predict(Head("application/octet-stream", "application/octet-stream"), values.tobytes())
    csv = await lane.predict(Head("text/csv", "text/csv"), "\n".join(map(str, values[:, 0])).encode())

    assert np.array_equal(np.frombuffer(raw.body), values[:, 0] * 2)
    cells = [line.split(",")[0] for line in bytes(csv.body).decode().split()]
    assert cells == ["predictions", *map(str, values[:, 0] * 2)]


async def test_a_draining_runtime_answers_large_requests_first(replica):
    lane = await replica.lane()
    large = await toys.begin(lane.predict(Head(), TABLE))
    await lane.predict(Head(), SMALL)
    lane.clients[0].drain()

    assert len(predictions(await large)) == ROWS


class Strange:
    """Media types of a plugin that knows nothing of steps, or does them wrong."""

    def __init__(self) -> None:
        self.gate = threading.Event()

    def slow(self, body, signature, request):
        self.gate.wait(10)
        return toys.toys.read(body, signature, request)

    def broken(self, body, signature, request):
        yield
        raise KeyError("oops")

    def half_done(self, answer):
        yield
        raise KeyError("oops")

    def normalizers(self):
        yield Normalizer("application/json", self.slow, toys.toys.write)
        yield Normalizer("a/broken", self.slow, toys.toys.write, normalize_steps=self.broken)
        yield Normalizer("a/half", toys.toys.read, toys.toys.write, encode_steps=self.half_done)


NUMBERS = b"[" + b",".join([b"1"] * LARGE_BYTES) + b"]"


@pytest.fixture
async def strange(tmp_path):
    strange = Strange()
    async with Replica(tmp_path / "s") as replica:
        replica.service.engine.session._normalizers = {n.media_type: n for n in strange.normalizers()}
        replica.strange = strange
        yield replica
        strange.gate.set()


async def test_a_plugin_without_steps_reads_beside_the_loop(strange):
    lane = await strange.lane()
    large = await toys.begin(lane.predict(Head(), NUMBERS))
    assert predictions(await lane.predict(Head("a/half"), b"[1]")) == [2.0]
    strange.strange.gate.set()

    assert predictions(await large) == [2.0] * LARGE_BYTES


async def test_a_plugin_that_fails_in_a_step_is_told_as_a_fault_of_the_server(strange):
    lane = await strange.lane()

    with pytest.raises(InternalError, match="normalizer") as failed:
        await lane.predict(Head("a/broken"), NUMBERS)
    assert failed.value.details["error_id"]
    with pytest.raises(InternalError, match="encoder"):
        await lane.predict(Head("a/half", "a/half"), NUMBERS)


async def test_what_turns_out_to_be_large_is_done_beside_the_others(tmp_path):
    """Told by whoever reads or writes it; called again, it knows that nobody waits."""
    waited_for = {"read": [], "written": []}
    json_type = BUILT_IN["application/json"]

    def read(body, signature, request):
        waited_for["read"].append(request.waited_for)
        if request.waited_for:
            raise TakesLong
        return json_type.normalize(body, signature, request)

    def write(answer):
        waited_for["written"].append(answer.waited_for)
        if answer.waited_for:
            raise TakesLong
        return json_type.encode(answer)

    class Slow(Replica):
        normalizers = {"application/json": Normalizer("application/json", read, write)}

    async with Slow(tmp_path / "s") as replica:
        lane = await replica.lane()
        assert predictions(await lane.predict(Head(), SMALL)) == [3.0]
        await settled(replica.service)

    assert waited_for == {"read": [True, False], "written": [True, False]}


async def test_what_was_read_may_wait_for_the_model_up_to_a_bound(replica, monkeypatch):
    """Though the bodies are small: what is made of one that was packed may be a thousand times as much."""
    rows = 80_000
    table = b'{"input": [' + b",".join([b"[1]"] * rows) + b"]}"
    monkeypatch.setattr("prism_core.runtime.large.MAX_WAITING_BYTES", 15 * rows)
    lane = await replica.lane()
    replica.model.gate.clear()
    # Four bytes a row in JSON, eight when it was read: one is computed, one waits, one is too many.
    asked = [await toys.begin(lane.predict(Head(), table)) for _ in range(3)]
    (refused,), _ = await asyncio.wait(asked, timeout=20, return_when=asyncio.FIRST_COMPLETED)

    with pytest.raises(Overloaded, match="waiting for the model"):
        refused.result()
    replica.model.gate.set()
    answers = await asyncio.gather(*(set(asked) - {refused}))
    assert [len(predictions(one)) for one in answers] == [rows, rows]
    await settled(replica.service)
    assert replica.service.large._batch_bytes == 0
