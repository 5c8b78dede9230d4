"""The engine: batches while busy, answers each caller once, with its own rows."""

from __future__ import annotations

import asyncio

import attrs
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prism_core.errors import DeadlineExceeded, ModelFailed, Overloaded
from prism_core.manifest import Batching
from prism_core.runtime.engine import Engine
from prism_core.runtime.session import Session


@pytest.fixture
async def engine(session):
    engine = Engine(session, session.manifest.batching)
    yield engine
    engine.close()


class Caller:
    """Submits and collects."""

    def __init__(self, engine):
        self.engine = engine
        self.answers: dict[int, list] = {}

    def submit(self, batch, timeout_s=0.0):
        number = len(self.answers)
        self.answers[number] = []
        request = self.engine.submit(batch, timeout_s, self.answers[number].append)
        self.engine.begin_soon()
        return request

    def values(self):
        assert all(len(answers) <= 1 for answers in self.answers.values())
        return [
            [
                a.outputs if isinstance(a.outputs, Exception) else a.outputs["predictions"].tolist()
                for a in answers
            ]
            for answers in self.answers.values()
        ]


@pytest.fixture
def caller(engine):
    return Caller(engine)


async def test_each_answer_has_the_reply_of_its_own_request(engine, caller, model, batch):
    """They are computed together; and one that is cut into parts is one all the same."""
    engine.queue.cap_rows = 2
    model.gate.clear()
    for reply, values in (("first", [0]), ("second", [1]), ("third", [2, 3, 4])):
        caller.submit(msgspec.structs.replace(batch(*values), reply=reply))
    model.gate.set()
    await engine.drain()

    assert [[answered.reply for answered in answers] for answers in caller.answers.values()] == [
        ["first"],
        ["second"],
        ["third"],
    ]
    assert caller.values() == [[[0]], [[2]], [[4, 6, 8]]]


async def test_requests_that_arrive_while_busy_are_one_execution(engine, caller, model, batch):
    model.gate.clear()
    caller.submit(batch(1))
    while not engine._busy:
        await asyncio.sleep(0)
    caller.submit(batch(2))
    caller.submit(batch(3, 4))
    model.gate.set()
    await engine.drain()

    assert caller.values() == [[[2]], [[4]], [[6, 8]]]
    assert model.executed == [[1], [2, 3, 4]]
    assert engine.largest_batch == 3


async def test_one_bad_row_fails_only_its_caller(engine, caller, batch):
    """Neighbours in a batch must not pay for each other."""
    for value in (1, 2, -3, 4, 5):
        caller.submit(batch(value))
    await engine.drain()

    values = caller.values()
    assert values[:2] + values[3:] == [[[2]], [[4]], [[8]], [[10]]]
    assert isinstance(values[2][0], ModelFailed)


async def test_a_short_answer_is_the_models_fault(engine, caller, batch):
    caller.submit(batch(404, 1))
    caller.submit(batch(5))
    await engine.drain()

    assert isinstance(caller.values()[0][0], ModelFailed)
    assert "1 rows" in caller.values()[0][0].message
    assert caller.values()[1] == [[10]]


async def test_a_large_request_is_split_and_joined_again(session, model, batch):
    engine = Engine(session, Batching(max_batch_rows=3, latency_slo_ms=0))
    caller = Caller(engine)
    caller.submit(batch(*range(8)))
    caller.submit(batch(100))
    await engine.drain()
    engine.close()

    assert caller.values() == [[[2 * n for n in range(8)]], [[200]]]
    assert max(len(rows) for rows in model.executed) == 3


async def test_a_split_request_tells_the_mean_of_its_executions(session, batch):
    """So that its rows, divided by that, are how many there were."""
    engine = Engine(session, Batching(max_batch_rows=3, latency_slo_ms=0))
    caller = Caller(engine)
    caller.submit(batch(*range(8)))
    caller.submit(batch(100))
    await engine.drain()
    engine.close()

    assert engine.executions == 4
    assert [(one.rows, one.batch_rows) for (one,) in caller.answers.values()] == [(8, 3), (1, 1)]


async def test_a_large_request_with_a_bad_part_fails_once(session, batch):
    engine = Engine(session, Batching(max_batch_rows=2, latency_slo_ms=0))
    caller = Caller(engine)
    caller.submit(batch(1, 2, -3, 4, 5, 6))
    caller.submit(batch(7))
    await engine.drain()
    engine.close()

    assert isinstance(caller.values()[0][0], ModelFailed)
    assert caller.values()[1] == [[14]]


async def test_a_cancelled_request_is_neither_executed_nor_answered(engine, caller, model, batch):
    model.gate.clear()
    running = caller.submit(batch(1))
    while not engine._busy:
        await asyncio.sleep(0)
    engine.cancel(caller.submit(batch(2)))
    caller.submit(batch(3))
    engine.cancel(running)
    model.gate.set()
    await engine.drain()

    assert caller.values() == [[], [], [[6]]]
    assert model.executed == [[1], [3]]


async def test_an_expired_request_is_not_executed(engine, caller, model, batch):
    model.gate.clear()
    caller.submit(batch(1))
    while not engine._busy:
        await asyncio.sleep(0)
    caller.submit(batch(2), timeout_s=1e-9)
    model.gate.set()
    await engine.drain()

    assert isinstance(caller.values()[1][0], DeadlineExceeded)
    assert model.executed == [[1]]


async def test_a_request_without_rows_takes_its_turn(manifest, model, batch):
    """Without a batch axis a first axis of length 0 is a legal shape."""
    model.signature = attrs.evolve(model.signature, batch_axis=False)
    engine = Engine(Session(manifest, model, {}), manifest.batching)
    caller = Caller(engine)
    model.gate.clear()
    for _ in range(3):
        caller.submit(batch())
        await asyncio.sleep(0)
    model.gate.set()
    await asyncio.wait_for(engine.drain(), 5)
    engine.close()

    assert caller.values() == [[[]]] * 3


async def test_a_full_queue_refuses(session, model, batch):
    engine = Engine(session, Batching(max_queue_rows=2))
    model.gate.clear()
    caller = Caller(engine)
    caller.submit(batch(1))
    while not engine._busy:
        await asyncio.sleep(0)
    caller.submit(batch(1, 2))
    with pytest.raises(Overloaded):
        caller.submit(batch(3))
    model.gate.set()
    await engine.drain()
    engine.close()


async def test_a_quick_model_is_soon_executed_on_the_loop(engine, caller, batch):
    for value in range(8):
        caller.submit(batch(value))
        await engine.drain()

    assert engine._quick >= 3
    assert caller.values() == [[[2 * value]] for value in range(8)]


async def test_max_delay_collects_company(session, model, batch):
    engine = Engine(session, Batching(max_delay_ms=20, max_batch_rows=2, latency_slo_ms=0))
    caller = Caller(engine)
    caller.submit(batch(1))
    await asyncio.sleep(0)
    caller.submit(batch(2))
    await engine.drain()
    engine.close()

    assert model.executed == [[1, 2]]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("submit"), st.lists(st.integers(-1, 50), min_size=1, max_size=9)),
        st.tuples(st.just("cancel"), st.integers(0, 20)),
        st.tuples(st.just("turn"), st.integers(1, 4)),
    ),
    max_size=40,
)


@given(steps=STEPS)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_caller_is_answered_once_with_its_own_rows(steps, session, batch):
    """Any order of arrivals, cancels and failing rows; a negative number makes the model fail."""

    async def play():
        engine = Engine(session, Batching(max_batch_rows=4, latency_slo_ms=0))
        caller, requests, asked, cancelled = Caller(engine), [], [], set()
        for step, value in steps:
            if step == "submit":
                asked.append(value)
                requests.append(caller.submit(batch(*value)))
            elif step == "cancel" and value < len(requests) and not caller.answers[value]:
                engine.cancel(requests[value])
                cancelled.add(value)
            elif step == "turn":
                for _ in range(value):
                    await asyncio.sleep(0)
        await asyncio.wait_for(engine.drain(), 10)
        engine.close()
        return asked, cancelled, caller.values()

    asked, cancelled, values = asyncio.run(play())

    for number, (rows, answers) in enumerate(zip(asked, values, strict=True)):
        if number in cancelled:
            assert answers == []
        elif min(rows) < 0:
            assert [type(answer) for answer in answers] == [ModelFailed]
        else:
            assert answers == [[2 * row for row in rows]]
