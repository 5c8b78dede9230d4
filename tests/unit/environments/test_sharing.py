import asyncio
import threading

import pytest

from prism_core.environments.sharing import Shared, to_its_end


def ignore(_):
    pass


class Work:
    """Work that ends when the test says so."""

    def __init__(self, error=None):
        self.begun = 0
        self.ended = asyncio.Event()
        self.cancelled = False
        self._error = error

    async def __call__(self, tell):
        self.begun += 1
        tell({"phase": "begun"})
        try:
            await self.ended.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        if self._error:
            raise self._error
        tell({"phase": "ended"})


async def waiting(shared, work, count, tell=ignore):
    tasks = [asyncio.create_task(shared.run("k", work, tell)) for _ in range(count)]
    while not work.begun:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


async def test_it_is_done_once_for_all_who_wait():
    shared, work = Shared(), Work()
    tasks = await waiting(shared, work, 3)

    work.ended.set()
    await asyncio.gather(*tasks)

    assert work.begun == 1
    assert shared.keys() == set()


async def test_who_comes_later_is_told_where_it_stands():
    shared, work, told = Shared(), Work(), []
    tasks = await waiting(shared, work, 1)

    tasks.append(asyncio.create_task(shared.run("k", work, told.append)))
    await asyncio.sleep(0)
    work.ended.set()
    await asyncio.gather(*tasks)

    assert told == [{"phase": "begun"}, {"phase": "ended"}]


async def test_who_leaves_does_not_end_it_for_the_others():
    shared, work = Shared(), Work()
    first, second = await waiting(shared, work, 2)

    first.cancel()
    await asyncio.wait({first})
    work.ended.set()
    await second

    assert first.cancelled()
    assert not work.cancelled


async def test_the_last_to_leave_ends_it():
    shared, work = Shared(), Work()
    tasks = await waiting(shared, work, 2)

    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)

    assert work.cancelled
    assert shared.keys() == set()


async def test_who_comes_while_it_is_being_ended_begins_anew():
    shared, work, again = Shared(), Work(), Work()
    (task,) = await waiting(shared, work, 1)
    again.ended.set()

    task.cancel()
    await asyncio.sleep(0)
    await shared.run("k", again, ignore)

    assert again.begun == 1
    assert task.cancelled()


async def test_a_failure_is_everybodys():
    shared, work = Shared(), Work(ValueError("no"))
    tasks = await waiting(shared, work, 2)

    work.ended.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)

    assert [str(outcome) for outcome in outcomes] == ["no", "no"]


async def test_different_work_goes_on_at_once():
    shared, one, two = Shared(), Work(), Work()
    tasks = [asyncio.create_task(shared.run(k, w, ignore)) for k, w in (("1", one), ("2", two))]
    async with asyncio.timeout(5):
        while not (one.begun and two.begun):
            await asyncio.sleep(0)

    one.ended.set()
    two.ended.set()
    await asyncio.gather(*tasks)


async def test_work_may_be_done_again():
    shared, work = Shared(), Work()
    work.ended.set()

    await shared.run("k", work, ignore)
    await shared.run("k", work, ignore)

    assert work.begun == 2


@pytest.mark.parametrize("error", [ValueError("no")])
async def test_an_error_that_nobody_waits_for_is_not_reported_as_lost(error):
    shared, work = Shared(), Work(error)
    (task,) = await waiting(shared, work, 1)

    work.ended.set()
    task.cancel()
    outcome = (await asyncio.gather(task, return_exceptions=True))[0]

    assert isinstance(outcome, asyncio.CancelledError | ValueError)


async def test_what_changes_files_is_waited_for_also_by_who_is_cancelled():
    begun, go_on, done = threading.Event(), threading.Event(), []

    def change():
        begun.set()
        go_on.wait(10)
        done.append("changed")

    task = asyncio.create_task(to_its_end(change))
    await asyncio.to_thread(begun.wait, 10)
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    go_on.set()
    await asyncio.wait({task})

    assert task.cancelled()
    assert done == ["changed"]
