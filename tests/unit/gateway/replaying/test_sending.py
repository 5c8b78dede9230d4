"""Requests leave when they are due, whatever becomes of those before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_core import wire
from prism_core.errors import ModelFailed, ServingError
from prism_core.gateway.traffic.recordings.exchange import Exchange
from prism_core.gateway.traffic.replaying import asking as asking_module
from prism_core.gateway.traffic.replaying.asking import CROWDED, NOT_LOADED, Side
from prism_core.gateway.traffic.replaying.sending import (
    CLOSED_LOOP,
    LOOK_S,
    LOOKS,
    Pair,
    Sending,
    head_of,
)
from prism_core.traffic.comparing import Answer
from prism_core.traffic.replaying.pacing import Pacing


class Clock:
    """A clock that stands still but for those who sleep."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


class Asked:
    """A side that notes when it is asked, and answers when it is told to."""

    def __init__(self, clock: Clock, reference: str = "m/1", busy_s: float = 0.0) -> None:
        self.reference = reference
        self.at: list[float] = []
        self.waiting: list[Any] = []
        self.busy = False
        self._clock = clock
        self._busy_s = busy_s

    def ask(self, head: Any, body: bytes, request: str, due: float, answer: Any) -> None:
        self.at.append(self._clock())
        self._clock.now += self._busy_s
        self.waiting.append(answer)

    def answer(self) -> None:
        waiting, self.waiting = self.waiting, []
        for one in waiting:
            one(Answer("application/json", b"{}", "ok", 0.001))


async def exchanges(times: list[float]) -> AsyncIterator[Exchange]:
    for at in times:
        yield Exchange(at, b"{}")


async def sent(
    times: list[float], pacing: Pacing | None, busy_s: float = 0.0
) -> tuple[Sending, Asked, list[Pair]]:
    """Send with sides that answer nothing until all are sent."""
    clock, pairs = Clock(), []
    ours, theirs = Asked(clock, busy_s=busy_s), Asked(clock)
    sending = Sending(ours, theirs, pacing, pairs.append, clock, clock.sleep)
    task = asyncio.create_task(sending.send(exchanges(times)))
    while sending.sent < len(times):
        await asyncio.sleep(0)
    for side in (ours, theirs):
        side.answer()
    await task
    return sending, ours, pairs


@given(st.lists(st.floats(0, 100), min_size=1, max_size=20).map(sorted), st.floats(0.5, 10))
def test_each_leaves_when_it_is_due_though_none_is_answered(times, speed):
    sending, side, pairs = asyncio.run(sent(times, Pacing(speed)))
    assert side.at == pytest.approx([100.0 + (at - times[0]) / speed for at in times], abs=0.0011)
    assert len(pairs) == len(times)
    assert max(sending.late_s) <= 0.001


async def test_a_sender_that_is_late_says_so_and_catches_up():
    sending, side, _ = await sent([0.0, 1.0, 2.0, 10.0], Pacing(), busy_s=1.5)
    assert list(sending.late_s) == [0.0, 0.5, 1.0, 0.0]
    assert side.at[-1] == 110.0


async def test_without_a_pace_a_few_are_under_way_at_once():
    clock, pairs = Clock(), []
    ours, theirs = Asked(clock), Asked(clock)
    sending = Sending(ours, theirs, None, pairs.append, clock, clock.sleep)
    task = asyncio.create_task(sending.send(exchanges([float(at) for at in range(30)])))
    while not task.done():
        assert len(ours.waiting) <= CLOSED_LOOP
        ours.answer()
        theirs.answer()
        await asyncio.sleep(0)
    assert len(pairs) == 30


async def test_without_a_pace_callers_go_first_for_a_moment():
    clock, pairs = Clock(), []
    ours, theirs = Asked(clock), Asked(clock)
    ours.busy = True
    sending = Sending(ours, theirs, None, pairs.append, clock, clock.sleep)
    task = asyncio.create_task(sending.send(exchanges([0.0, 1.0])))
    while not task.done():
        ours.busy = not ours.at  # nobody asks any more once the first has left
        ours.answer()
        theirs.answer()
        await asyncio.sleep(0)
    first, second = ours.at
    assert first == pytest.approx(100.0 + LOOKS * LOOK_S)
    assert second - first <= 2 * LOOK_S


@pytest.mark.parametrize(
    ("accept", "asked"),
    [
        ("", ""),
        ("*/*", "*/*"),
        ("application/json; q=0.9, text/csv", "application/json; q=0.9, text/csv"),
        ("application/vnd.prism.oip", "application/vnd.prism.oip"),
        ("application/vnd.prism.oip.grpc", "application/vnd.prism.tensors"),
        ("text/csv, */*", "application/vnd.prism.tensors"),
    ],
)
def test_answers_that_cannot_be_compared_are_asked_for_as_tensors(accept, asked):
    head = head_of(Exchange(1.0, b"", "application/json", accept, "outputs=y", "v1"))
    assert (head.accept, head.media_type, head.query, head.style, head.cached) == (
        asked,
        "application/json",
        "outputs=y",
        "v1",
        False,
    )


class Replica:
    def __init__(self) -> None:
        self.answers: list[Any] = []

    def ask(self, head: Any, body: bytes, timeout_s: float, answer: Any, request: str) -> None:
        self.answers.append(answer)


def lane(replica: Replica | None = None, **facts: Any) -> Any:
    woken: list[int] = []
    told = {"refusal": None, "manifest": SimpleNamespace(timeout_s=30.0), "woken": woken}
    found = SimpleNamespace(**(told | facts))
    found.least_loaded = lambda: replica
    found.wake_up = lambda: woken.append(1)
    return found


def ask(side: Side, heard: list[Answer]) -> None:
    side.ask(None, b"{}", "id", 0.0, heard.append)


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (wire.Reply(1, "application/json", 1, 1, 0, 0), "ok"),
        (ModelFailed("It fell."), "model_failed"),
        (TimeoutError(), "deadline_exceeded"),
        (ValueError("ours"), "internal_error"),
    ],
)
async def test_what_a_replica_answers(reply, code):
    replica, heard = Replica(), []
    side = Side("m/1", lane(replica))
    ask(side, heard)
    assert side.in_flight == 1
    replica.answers[0](reply, memoryview(b"{}"))
    assert (heard[0].code, side.in_flight, side.most_in_flight) == (code, 0, 1)
    assert heard[0].latency_s > 0


async def test_who_falls_behind_fails_instead_of_slowing_the_sender():
    replica, heard = Replica(), []
    side = Side("m/1", lane(replica), most=2)
    for _ in range(3):
        ask(side, heard)
    await asyncio.sleep(0)
    assert [one.code for one in heard] == [CROWDED]
    assert len(replica.answers) == 2


async def test_what_is_under_way_is_bounded_in_bytes(monkeypatch):
    monkeypatch.setattr(asking_module, "MOST_BYTES", 5)
    replica, heard = Replica(), []
    side = Side("m/1", lane(replica))
    for _ in range(3):
        ask(side, heard)
    await asyncio.sleep(0)
    assert [one.code for one in heard] == [CROWDED]
    for answer in replica.answers:
        answer(ModelFailed("It fell."), memoryview(b""))
    ask(side, heard)
    assert len(replica.answers) == 3


async def test_a_version_without_replicas_is_woken():
    found, heard = lane(), []
    ask(Side("m/1", found), heard)
    await asyncio.sleep(0)
    assert ([one.code for one in heard], found.woken) == ([NOT_LOADED], [1])


async def test_a_version_that_is_stopped_ends_it():
    with pytest.raises(ServingError):
        ask(Side("m/1", lane(Replica(), refusal=ServingError("It is gone."))), [])
