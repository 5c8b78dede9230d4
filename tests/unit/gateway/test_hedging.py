"""Hedged requests over replicas that answer when they are told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prism_core.errors import InvalidInput, ModelFailed, Overloaded, ReplicaLost
from prism_core.gateway.asking import Asking
from prism_core.gateway.prediction import Head, Prediction
from prism_core.gateway.traffic.askings import Impatient
from prism_core.gateway.traffic.hedge_counts import HedgeCounts
from prism_core.gateway.traffic.hedging import LINE, Hedgers
from prism_core.gateway.traffic.kinds import Hedged
from prism_core.traffic.hedge import Hedge
from prism_core.traffic.route import Route
from tests.unit.conftest import FakeReplica, Scene

# At once, and as often as anybody likes.
ALWAYS = Hedge(after_ms=0.001, budget_percent=100)


class Two(Scene):
    """A lane with two replicas, asked by a route that hedges."""

    def __init__(self, policy: Hedge = ALWAYS, deterministic: bool = True) -> None:
        super().__init__(deterministic)
        self.other = FakeReplica()
        self.lane.add(self.other)
        self.told: list[Hedged] = []
        self.hedgers = Hedgers(self.told.append)
        self.step = self.hedgers("m", Route(hedge=policy), self.lane, Asking)

    @property
    def what(self) -> list[str]:
        return [one.what for one in self.told]

    def begin(self, outcomes: list[Any], body: bytes = b"[[1]]", **head: Any) -> Any:
        return self.step(Head(**head), body, 60.0, outcomes.append, "id")

    async def until(self, happened: Any) -> None:
        """Wait until the clock of a request has rung."""
        async with asyncio.timeout(10):
            while not happened():
                await asyncio.sleep(0)


@pytest.fixture
async def two():
    return Two()


async def both_asked(two: Two) -> list[Any]:
    outcomes: list[Any] = []
    two.begin(outcomes)
    assert len(two.replica.asked) == 1
    await two.until(lambda: two.other.asked)
    return outcomes


@pytest.mark.parametrize("second_is_first", [True, False])
async def test_the_first_answer_wins_and_the_other_question_is_cancelled(two, second_is_first):
    outcomes = await both_asked(two)
    winner, loser = (two.other, two.replica) if second_is_first else (two.replica, two.other)
    loser.waiting[99] = None  # it waits behind another
    winner.answer(1, body=b"[7]")
    del loser.waiting[99]

    assert [(one.body, one.lines, one.cache) for one in outcomes] == [(b"[7]", LINE, "miss")]
    assert (loser.cancelled, winner.cancelled, loser.in_flight) == ([1], [], 0)
    assert two.what == (["asked", "won"] if second_is_first else ["asked"])
    assert [record.code for record in two.records] == ["ok"]  # one request of the caller
    assert two.lane.in_flight == 0


async def test_what_is_computed_already_is_in_flight_until_it_ends_so_that_the_replica_counts_as_busy(two):
    outcomes = await both_asked(two)
    two.other.answer(1)
    assert (len(outcomes), two.replica.cancelled, two.replica.in_flight) == (1, [], 1)
    two.begin(outcomes, body=b"[[2]]")
    assert len(two.other.asked) == 2

    two.replica.answer(1)
    assert (len(outcomes), two.replica.in_flight) == (1, 0)


async def test_one_that_never_ends_is_a_failure_of_its_replica(two):
    for _ in range(5):
        await both_asked(two)
        two.other.answer(len(two.other.asked))
        two.replica.answer(len(two.replica.asked), TimeoutError())
        two.other.asked.clear()
        two.replica.asked.clear()
        two.lane.drop_answers()

    assert two.lane.clients == (two.other,)


async def test_one_that_answers_in_time_is_asked_alone(two):
    outcomes: list[Any] = []
    two.step = two.hedgers("m", Route(hedge=Hedge(after_ms=60_000, budget_percent=100)), two.lane, Asking)
    two.begin(outcomes)
    two.replica.answer(1)

    assert (outcomes[0].lines, two.told, two.other.asked) == (b"", [], [])


async def test_equal_requests_still_wait_for_the_same_answer(two):
    outcomes = await both_asked(two)
    two.begin(outcomes)  # joins the flight of the first
    two.other.answer(1)

    assert [(one.cache, one.lines) for one in outcomes] == [("coalesced", b""), ("miss", LINE)]
    assert (len(two.replica.asked), len(two.other.asked)) == (1, 1)


@pytest.mark.parametrize("failure", [ModelFailed("It fell."), Overloaded("Full."), ReplicaLost("Gone.")])
async def test_a_failure_of_one_waits_for_the_other(two, failure):
    outcomes = await both_asked(two)
    two.replica.answer(1, failure)
    assert outcomes == []
    two.other.answer(1)

    assert [type(one) for one in outcomes] == [Prediction]
    assert (two.replica in two.lane.clients) is not isinstance(failure, ReplicaLost)


async def test_a_failure_of_the_second_does_not_end_the_first(two):
    outcomes = await both_asked(two)
    two.other.answer(1, ReplicaLost("Gone."))
    assert (outcomes, two.lane.clients) == ([], (two.replica,))
    two.replica.answer(1)

    assert [type(one) for one in outcomes] == [Prediction]


async def test_what_the_caller_did_wrong_is_told_at_once(two):
    outcomes = await both_asked(two)
    two.replica.answer(1, InvalidInput("No row."))

    assert [type(one) for one in outcomes] == [InvalidInput]
    assert two.other.in_flight == 1


async def test_both_fail(two):
    outcomes = await both_asked(two)
    two.replica.answer(1, ModelFailed("First."))
    two.other.answer(1, ModelFailed("Second."))

    assert [one.message for one in outcomes] == ["Second."]


async def test_who_goes_away_cancels_both(two):
    outcomes: list[Any] = []
    asking = two.begin(outcomes)
    await two.until(lambda: two.other.asked)
    asking.cancel()

    assert (two.replica.cancelled, two.other.cancelled, outcomes) == ([1], [1], [])
    assert two.lane.in_flight == 0


async def test_a_budget_that_is_spent_refuses():
    two = Two(Hedge(after_ms=0.001, budget_percent=50))
    outcomes: list[Any] = []
    for number in range(4):
        two.begin(outcomes, body=b"[[%d]]" % number)
        await two.until(lambda number=number: len(two.told) == number + 1)
        two.replica.answer(number + 1)

    assert two.what == ["no_budget", "asked", "no_budget", "asked"]


async def test_where_the_queue_is_full_nobody_is_asked_twice(two):
    two.lane.crowd.bound = 1
    outcomes: list[Any] = []
    two.begin(outcomes)
    await two.until(lambda: two.told)

    assert (two.what, two.other.asked) == (["no_room"], [])


async def test_a_replica_with_more_to_do_is_not_asked(two):
    two.other.waiting = {number: None for number in range(2, 5)}
    two.begin([])
    await two.until(lambda: two.told)

    assert (two.what, two.other.asked) == (["no_room"], [])


async def test_after_the_time_that_most_answers_took_lately(two):
    two.step = two.hedgers("m", Route(hedge=Hedge(budget_percent=100)), two.lane, Asking)
    for number in range(20):
        two.begin([], body=b"[[%d]]" % number)
        two.replica.answer(number + 1)
        assert two.told == []
    two.begin([], body=b"[[20]]")
    await two.until(lambda: two.other.asked)

    assert two.what == ["asked"]


async def test_models_that_draw_lots_are_never_asked_twice():
    two = Two(deterministic=False)
    assert two.step.keywords == {"how": Asking}


async def test_large_bodies_are_not_sent_twice(two):
    large = b" " * (1 << 20)
    two.begin([], body=large, cached=False)
    two.begin([], body=b"[[1]]", cached=False)  # its clock would ring after the other's
    await two.until(lambda: two.told)

    assert [*two.replica.asked, *two.other.asked].count(large) == 1
    assert two.what == ["asked"]


async def test_an_impatient_one_is_hedged_too_and_waits_for_no_replica(two):
    two.step = two.hedgers("m", Route(hedge=ALWAYS), two.lane, Impatient)
    outcomes = await both_asked(two)
    two.other.answer(1)
    assert [type(one) for one in outcomes] == [Prediction]

    for replica in (two.replica, two.other):
        two.lane.remove(replica)
    two.begin(outcomes, body=b"[[2]]")
    await two.until(lambda: len(outcomes) == 2)
    assert outcomes[1].code == "still_loading"


OUTCOMES = [None, ModelFailed("no"), Overloaded("full"), ReplicaLost("gone"), InvalidInput("no")]
OUTCOMES += [TimeoutError()]
HAPPENING = st.sampled_from(["answer", "ring", "cancel", "expire"])
EVENTS = st.lists(st.tuples(HAPPENING, st.integers(0, 1), st.sampled_from(OUTCOMES)), max_size=8)


@settings(max_examples=200, deadline=None)
@given(EVENTS)
def test_whatever_happens_it_is_answered_once_and_nothing_is_left_over(events):
    asyncio.run(_happens(events))


async def _happens(events: list[tuple[str, int, Any]]) -> None:
    two = Two(Hedge(after_ms=60_000, budget_percent=100))
    outcomes: list[Any] = []
    asking = two.begin(outcomes)
    cancelled = False
    for what, which, outcome in events:
        replica = (two.replica, two.other)[which]
        if what == "answer" and replica.waiting:
            replica.answer(next(iter(replica.waiting)), outcome)
        elif what == "ring" and asking._clock is not None:
            asking._clock.cancel()
            asking._ask_another()
            assert len(two.replica.asked) + len(two.other.asked) <= 3  # again after a loss, or asked twice
        elif what == "cancel":
            cancelled = cancelled or not asking.done
            asking.cancel()
        elif what == "expire" and not asking.done:
            asking.expire()
        assert two.what.count("asked") <= 1
        assert len(outcomes) + cancelled == asking.done
    if not asking.done:
        asking.expire()
    # One that is computed already, or is asked alone, is not broken off.
    left = [(one, call) for one in (two.replica, two.other) for call in tuple(one.waiting)]
    assert len(left) <= 1
    for replica, call in left:
        replica.answer(call)
    assert len(outcomes) + cancelled == 1
    assert two.lane.in_flight == len(two.lane.trials.waiting) == 0
    assert two.replica.in_flight == two.other.in_flight == 0


def test_the_metric_counts_what_became_of_second_questions():
    counts = HedgeCounts()
    for what in ("asked", "won", "asked", "no_budget"):
        counts.hear(Hedged("m", "m/3", what))
    (family,) = counts.collect()
    assert {one.labels["what"]: one.value for one in family.samples} == {"asked": 2, "won": 1, "no_budget": 1}

    counts.forget("m/3")
    (family,) = counts.collect()
    assert family.samples == []
