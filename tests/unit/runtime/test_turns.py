"""Long jobs in steps, one after the other, between everything else."""

from __future__ import annotations

import asyncio
import threading

import pytest

from prism_core.runtime.turns import GIVEN_WAY, Job, Turns


class Work:
    """Makes jobs, and notes what happened in which order."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.results: asyncio.Queue[object] = asyncio.Queue()

    def steps(self, name: str, count: int, result: object):
        for number in range(count):
            self.events.append(f"{name}{number}")
            yield
        if isinstance(result, Exception):
            raise result
        return result

    def job(self, name: str, count: int = 2, result: object = "done", whole=None) -> Job:
        return Job(self.steps(name, count, result), whole or self.never, self.results.put_nowait)

    @staticmethod
    def never() -> object:
        raise AssertionError("not in a thread")


@pytest.fixture
def work():
    return Work()


@pytest.fixture
async def turns():
    turns = Turns(lambda: False)
    yield turns
    turns.close()


async def test_one_job_after_the_other_with_turns_of_the_loop_between_steps(work, turns):
    def other() -> None:
        work.events.append("-")
        if work.results.qsize() < 2:
            asyncio.get_running_loop().call_soon(other)

    for name in "ab":
        turns.add(work.job(name, result=name))
    other()
    assert [await work.results.get() for _ in range(2)] == ["a", "b"]

    assert [event for event in work.events if event != "-"] == ["a0", "a1", "b0", "b1"]
    assert "a0a1" not in "".join(work.events)


async def test_an_urgent_job_goes_before_what_has_begun(work, turns):
    turns.add(work.job("a", result="a"))
    await asyncio.sleep(0)
    turns.add(work.job("b", result="b"), first=True)

    assert [await work.results.get() for _ in range(2)] == ["b", "a"]
    assert work.events == ["a0", "b0", "b1", "a1"]


async def test_what_cannot_be_done_in_steps_is_done_in_a_thread_while_others_go_on(work, turns):
    gate = threading.Event()

    def whole() -> str:
        gate.wait(10)
        return threading.current_thread().name

    turns.add(work.job("a", result=None, whole=whole))
    turns.add(work.job("b", result="b"))
    assert await work.results.get() == "b"
    gate.set()

    assert str(await work.results.get()).startswith("large")


async def test_an_exception_is_handed_over_and_ends_only_its_job(work, turns):
    error, other = ValueError("a step"), ValueError("a thread")

    def whole() -> None:
        raise other

    turns.add(work.job("a", result=error))
    turns.add(work.job("b", result=None, whole=whole))
    turns.add(work.job("c", result="c"))

    assert {await work.results.get() for _ in range(3)} == {error, other, "c"}


async def test_a_cancelled_job_is_left_where_it_is_and_never_done(work, turns):
    first = work.job("a", count=100)
    turns.add(first)
    turns.add(work.job("b", result="b"))
    await asyncio.sleep(0)
    turns.cancel(first)

    assert await work.results.get() == "b"
    assert work.events == ["a0", "b0", "b1"]
    assert first.steps.gi_frame is None


async def test_a_job_that_is_cancelled_in_its_thread_is_not_handed_over(work, turns):
    gate, entered = threading.Event(), threading.Event()

    def whole() -> str:
        entered.set()
        gate.wait(10)
        return "late"

    job = work.job("a", count=0, result=None, whole=whole)
    turns.add(job)
    await asyncio.to_thread(entered.wait, 10)
    turns.cancel(job)
    gate.set()
    turns.add(work.job("b", count=0, result=None, whole=lambda: "b"))  # the same thread: later

    assert await work.results.get() == "b"


async def test_a_step_gives_way_to_others_but_not_for_ever(work):
    asked = []

    def others_wait() -> bool:
        asked.append(len(work.events))
        return True

    turns = Turns(others_wait)
    turns.add(work.job("a"))

    assert await work.results.get() == "done"
    assert asked[: GIVEN_WAY + 1] == [0] * GIVEN_WAY + [1]


async def test_a_caller_that_fails_does_not_stop_the_others(work, turns):
    heard = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: heard.append(context))

    def fail(result: object) -> None:
        raise RuntimeError("who asked")

    turns.add(Job(work.steps("a", 1, "a"), work.never, fail))
    turns.add(work.job("b", result="b"))

    assert await work.results.get() == "b"
    assert len(heard) == 1
