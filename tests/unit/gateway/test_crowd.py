"""No more calls in flight than are answered within the objective."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prism_core.errors import Overloaded, ReplicaLost
from prism_core.gateway.crowd import FEW, LENIENT_S, Crowd
from prism_core.manifest import Batching


def learn(crowd, rate, seconds, since=0.0, ahead=FEW + 1):
    """Answer ``rate`` calls a second behind ``ahead`` others; return when that ended."""
    for number in range(int(rate * seconds)):
        crowd.answered(ahead, since + number / rate)
    return since + seconds


@pytest.mark.parametrize(
    ("rate", "objective_s", "most", "bound"),
    [
        (10_000, 0.1, 8192, 500),
        (10_000, 0.2, 8192, 1000),
        (10_000, 10.0, 8192, 8192),
        (100, 0.1, 8192, FEW),
        (10_000, 0.0, 8192, 8192),
        (10_000, 0.1, 1, FEW),
    ],
    ids=["little", "longer", "most", "few", "no objective", "least"],
)
def test_the_bound_is_what_is_answered_in_half_of_the_objective(rate, objective_s, most, bound):
    crowd = Crowd("m", Batching(latency_slo_ms=objective_s * 1000, max_queue_rows=most))
    learn(crowd, rate, 10.0)

    assert crowd.bound == pytest.approx(bound, rel=0.01)


def test_calls_that_are_not_crowded_teach_nothing():
    crowd = Crowd("m", Batching())
    learn(crowd, 1000, 5.0, ahead=FEW)

    assert crowd.bound == Batching().max_queue_rows


def test_answers_in_bursts_are_counted_over_the_pauses_between_them():
    crowd = Crowd("m", Batching())
    for burst in range(20):
        for number in range(500):
            crowd.answered(1000, burst * 0.05 + number * 1e-6)

    assert crowd.bound == pytest.approx(500, rel=0.3)


def test_a_gateway_that_is_busy_refusing_keeps_its_bound_for_a_while():
    crowd = Crowd("m", Batching())
    now = learn(crowd, 10_000, 1.0)
    learn(crowd, 2_000, 0.5, now)

    assert crowd.bound > 400


def test_a_model_that_became_slower_is_noticed():
    crowd = Crowd("m", Batching())
    now = learn(crowd, 20_000, 1.0)
    learn(crowd, 4_000, 20.0, now)

    assert crowd.bound == pytest.approx(200, rel=0.1)


def test_a_crowd_that_waited_for_a_replica_is_taken_beyond_the_objective_for_a_while():
    crowd = Crowd("m", Batching())
    now = learn(crowd, 10_000, 1.0)
    crowd.be_lenient(now)
    meanwhile = learn(crowd, 10_000, LENIENT_S - 0.2, now)
    assert crowd.bound == Batching().max_queue_rows

    learn(crowd, 10_000, 1.0, meanwhile)
    assert crowd.bound == pytest.approx(500, rel=0.01)


@settings(deadline=None)
@given(st.integers(2000, 20_000), st.floats(1.2, 4.0))
def test_under_overload_the_accepted_are_answered_within_twice_the_objective(rate, load):
    """A server of one queue, in steps of a millisecond; offered more than it answers."""
    crowd = Crowd("m", Batching(latency_slo_ms=100.0))
    queue, waits, refused, due, arriving = deque(), [], 0, 0.0, 0.0
    for now in range(3000):
        arriving += rate * load / 1000
        while arriving >= 1:
            arriving -= 1
            if len(queue) >= crowd.bound:
                refused += 1
            else:
                queue.append((now, len(queue)))
        due += rate / 1000
        while due >= 1 and queue:
            due -= 1
            came, ahead = queue.popleft()
            waits.append((now + 1 - came) / 1000)
            crowd.answered(ahead, now / 1000)
        due = min(due, 1.0)
    settled = sorted(waits[len(waits) // 2 :])

    assert settled[int(len(settled) * 0.99)] <= 0.2
    assert refused > 0


async def test_a_lane_refuses_what_is_more_and_takes_again_what_is_not(scene):
    scene.lane.crowd.bound = 2
    tasks = [await scene.ask(b"[[%d]]" % number) for number in range(3)]
    with pytest.raises(Overloaded, match="in flight") as refused:
        await tasks[2]
    scene.replica.answer(1)
    later = await scene.ask(b"[[9]]")
    scene.replica.answer(2)
    scene.replica.answer(3)

    assert (await later).body == b"[1]"
    assert refused.value.details["retry_after_s"] == 1.0
    assert [r.code for r in scene.records] == ["overloaded", "ok", "ok", "ok"]


async def test_hits_are_never_refused(scene):
    first = await scene.ask(b"[[1]]")
    scene.replica.answer(1)
    await first
    scene.lane.crowd.bound = 0

    assert (await (await scene.ask(b"[[1]]"))).cache == "hit"


async def test_a_call_that_may_be_a_hit_is_looked_up_before_it_is_refused(scene):
    scene.lane.crowd.bound = 0
    task = await scene.ask(b"[[2]]")

    with pytest.raises(Overloaded):
        await task
    assert [r.code for r in scene.records] == ["overloaded"]
    assert scene.lane.in_flight == 0


async def test_a_lost_replica_s_call_is_not_refused(scene, fake_replica):
    task, other = await scene.ask(), fake_replica()
    scene.lane.crowd.bound = 0
    scene.lane.add(other)
    scene.lane.remove(scene.replica)
    scene.replica.answer(1, ReplicaLost("gone"))
    other.answer(1)

    assert (await task).body == b"[1]"
