"""A call on its way through a lane: replicas that answer when told, the cache, the clock."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from prism_core.errors import DeadlineExceeded, ModelFailed, ModelNotFound, ReplicaLost
from prism_core.gateway.second import SecondLevel


class Second:
    """A cache of a plugin that works, hangs or fails."""

    def __init__(self, how="works"):
        self.how, self.values = how, {}

    async def _behave(self):
        if self.how == "hangs":
            await asyncio.Event().wait()
        if self.how == "fails":
            raise ConnectionError

    async def get(self, key):
        await self._behave()
        return self.values.get(key)

    async def put(self, key, value, ttl_s):
        await self._behave()
        self.values[key] = value

    async def clear(self):
        self.values.clear()


@asynccontextmanager
async def second_level(how="works"):
    """Open the second level over such a cache, as the gateway does."""
    level = SecondLevel("second", Second(how), timeout_s=0.005)
    writing = asyncio.create_task(level.write())
    yield level
    writing.cancel()
    await asyncio.wait({writing})


async def outcomes(*tasks):
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_the_second_time_is_a_hit(scene):
    first = await scene.ask()
    scene.replica.answer(1)
    second = await scene.ask()

    assert [(p.cache, bytes(p.body)) for p in await outcomes(first, second)] == [
        ("miss", b"[1]"),
        ("hit", b"[1]"),
    ]
    assert [(r.cache, r.batch_rows, r.code) for r in scene.records] == [("miss", 4, "ok"), ("hit", 0, "ok")]


async def test_equal_requests_in_flight_are_computed_once(scene):
    tasks = [await scene.ask() for _ in range(3)]
    scene.replica.answer(1)

    assert [p.cache for p in await outcomes(*tasks)] == ["miss", "coalesced", "coalesced"]
    assert len(scene.replica.asked) == 1
    assert scene.lane.in_flight == 0


async def test_when_the_one_who_computes_goes_away_another_computes(scene):
    first, second = await scene.ask(), await scene.ask()
    first.cancel()
    await asyncio.sleep(0)
    scene.replica.answer(2)

    assert (await second).cache == "miss"
    assert first.cancelled()
    assert scene.replica.cancelled == [1]
    assert [r.code for r in scene.records] == ["cancelled", "ok"]


async def test_who_only_waits_may_go_away(scene):
    first, second = await scene.ask(), await scene.ask()
    second.cancel()
    await asyncio.sleep(0)
    scene.replica.answer(1)

    assert (await first).cache == "miss"
    assert scene.replica.cancelled == []


async def test_an_error_is_shared_but_never_kept(scene):
    tasks = [await scene.ask(), await scene.ask()]
    scene.replica.answer(1, ModelFailed("no"))

    assert [type(e) for e in await outcomes(*tasks)] == [ModelFailed, ModelFailed]
    await scene.ask()
    assert scene.replica.in_flight == 1


async def test_a_late_one_does_not_fail_those_who_have_more_time(scene):
    hasty, patient = await scene.ask(timeout_s=0.5), await scene.ask(timeout_s=60)
    scene.replica.answer(1, TimeoutError())
    scene.replica.answer(2)

    late, answered = await outcomes(hasty, patient)
    assert type(late) is DeadlineExceeded
    assert answered.cache == "miss"


async def test_who_waits_for_an_equal_one_has_a_deadline_too(scene):
    slow, hasty = await scene.ask(), await scene.ask(timeout_s=0.01)

    assert [type(e) for e in await outcomes(hasty)] == [DeadlineExceeded]
    scene.replica.answer(1)
    assert (await slow).cache == "miss"


async def test_a_lost_replica_s_request_is_asked_of_another(scene, fake_replica):
    task, other = await scene.ask(), fake_replica()
    scene.lane.add(other)
    scene.replica.answer(1, ReplicaLost("gone"))
    other.answer(1)

    assert (await task).body == b"[1]"
    assert scene.lane.clients == (other,)


@pytest.mark.parametrize(("deterministic", "asked"), [(True, 2), (False, 1)])
async def test_a_lost_request_is_tried_once_more_where_that_is_safe(
    deterministic, asked, scene_of, fake_replica
):
    scene, other = scene_of(deterministic), fake_replica()
    task = await scene.ask()
    scene.lane.add(other)
    scene.replica.answer(1, ReplicaLost("gone"))
    if deterministic:
        other.answer(1, ReplicaLost("gone too"))

    assert [type(e) for e in await outcomes(task)] == [ReplicaLost]
    assert len(scene.replica.asked) + len(other.asked) == asked


async def test_a_request_waits_for_a_replica_and_wakes_it(scene):
    woken = []
    scene.lane.remove(scene.replica)
    scene.lane.wake = lambda: woken.append(1)
    task = await scene.ask()
    scene.lane.add(scene.replica)
    scene.replica.answer(1)

    assert (await task).body == b"[1]"
    assert woken == [1]


async def test_a_request_that_waits_in_vain_meets_its_deadline(scene):
    scene.lane.remove(scene.replica)

    assert [type(e) for e in await outcomes(await scene.ask(timeout_s=0.01))] == [DeadlineExceeded]
    assert scene.lane.waiting == {}


async def test_the_least_loaded_replica_is_asked(scene, fake_replica):
    other = fake_replica()
    scene.lane.add(other)
    for number in range(4):
        await scene.ask(b"[[%d]]" % number)

    assert (scene.replica.in_flight, other.in_flight) == (2, 2)


async def test_a_drain_refuses_and_waits(scene):
    task = await scene.ask()
    draining = asyncio.create_task(scene.lane.drain(60))
    await asyncio.sleep(0)
    refused = await outcomes(await scene.ask(b"[[2]]"))
    scene.replica.answer(1)

    assert [type(e) for e in refused] == [ModelNotFound]
    assert (await task).body == b"[1]"
    await draining


async def test_those_who_wait_for_a_replica_are_refused_when_the_lane_is_closed(scene):
    scene.lane.remove(scene.replica)
    task = await scene.ask()
    scene.lane.close()

    assert [type(e) for e in await outcomes(task)] == [ModelNotFound]


async def test_a_second_level_answers_for_another_server(scene_of):
    async with second_level() as second:
        scene, other = scene_of(second=second), scene_of(second=second)
        task = await scene.ask()
        while not scene.replica.in_flight:
            await asyncio.sleep(0)
        scene.replica.answer(1)
        await task
        while not second.counts["put", "kept"]:
            await asyncio.sleep(0)

        assert (await (await other.ask())).cache == "hit"


@pytest.mark.parametrize("how", ["hangs", "fails"])
async def test_a_second_level_that_is_down_is_a_miss(how, scene_of):
    async with second_level(how) as second:
        scene = scene_of(second=second)
        task = await scene.ask()
        while not scene.replica.in_flight:
            await asyncio.sleep(0.001)
        scene.replica.answer(1)

        assert (await task).cache == "miss"


async def test_whoever_goes_away_while_the_second_level_is_asked_leaves_nothing(scene_of):
    async with second_level("hangs") as level:
        scene = scene_of(second=level)
        first, second = await scene.ask(), await scene.ask()
        first.cancel()
        await asyncio.sleep(0)
        scene.replica.answer(1)

        assert (await second).cache == "miss"
        assert scene.lane.in_flight == 0


async def test_what_a_second_level_has_and_nobody_can_read_is_a_miss(scene_of):
    async with second_level() as second:
        scene = scene_of(second=second)
        second.get = nonsense
        task = await scene.ask()
        while not scene.replica.in_flight:
            await asyncio.sleep(0)
        scene.replica.answer(1)

        assert (await task).cache == "miss"


async def nonsense(key):
    return b"nonsense"
