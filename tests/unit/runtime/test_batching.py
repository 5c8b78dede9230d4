"""The batching policy, by table and by property."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from prism_core.errors import Overloaded
from prism_core.manifest import Batching
from prism_core.runtime.batching import BatchQueue, Waiting


def waiting(rows: int = 1, kind: object = "k", deadline: float = math.inf, arrived: float = 0.0) -> Waiting:
    return Waiting(object(), rows, kind, deadline, arrived)


def queue(**bounds: float) -> BatchQueue:
    return BatchQueue(Batching(**{"latency_slo_ms": 0, **bounds}))  # type: ignore[arg-type]


def test_an_idle_model_gets_a_request_at_once():
    batches = queue()
    batches.offer(waiting())

    assert batches.due(now=0.0) == 0.0


def test_what_waits_is_taken_together():
    batches = queue()
    requests = [waiting(rows=n) for n in (1, 2, 3)]
    for request in requests:
        batches.offer(request)

    assert [(p.request, p.start, p.stop) for p in batches.take()] == [(r, 0, r.rows) for r in requests]
    assert batches.waiting_rows == 0


def test_unlike_requests_never_meet():
    batches = queue()
    for kind in ("int", "float", "int"):
        batches.offer(waiting(kind=kind))

    taken = [[p.request.kind for p in batches.take()] for _ in range(2)]

    assert taken == [["int", "int"], ["float"]]


def test_a_request_without_a_kind_is_alone_and_whole():
    batches = queue(max_batch_rows=2)
    for _ in range(2):
        batches.offer(waiting(rows=5, kind=None))

    assert [[(p.start, p.stop) for p in batches.take()] for _ in range(3)] == [[(0, 5)], [(0, 5)], []]


def test_the_earliest_deadline_goes_first():
    batches = queue(max_batch_rows=1)
    late, soon = waiting(deadline=9), waiting(deadline=1)
    batches.offer(late)
    batches.offer(soon)

    assert [batches.take()[0].request for _ in range(2)] == [soon, late]


def test_a_request_larger_than_the_cap_is_taken_in_parts():
    batches = queue(max_batch_rows=4)
    batches.offer(waiting(rows=10))

    assert [[(p.start, p.stop) for p in batches.take()] for _ in range(3)] == [[(0, 4)], [(4, 8)], [(8, 10)]]


def test_a_large_request_and_the_others_take_turns():
    """Whoever comes while a large request is computed waits for one part of it, not for all."""
    batches = queue(max_batch_rows=4)
    large, *small = [waiting(rows=10, deadline=1), waiting(deadline=2), waiting(deadline=3, kind="other")]
    for request in (large, *small):
        batches.offer(request)

    taken = [[p.request for p in batches.take()] for _ in range(6)]

    assert taken == [[large], [small[0]], [large], [small[1]], [large], []]


def test_a_dropped_neighbour_does_not_end_a_large_requests_turns():
    batches = queue(max_batch_rows=4)
    large, small = waiting(rows=10), waiting()
    batches.offer(large)
    batches.offer(small)
    batches.take()
    batches.drop(small)

    assert [[(p.start, p.stop) for p in batches.take()] for _ in range(3)] == [[(4, 8)], [(8, 10)], []]


def test_a_large_request_does_not_fill_the_queue_of_the_others():
    batches = queue(max_queue_rows=10, max_batch_rows=4)
    batches.offer(waiting(rows=100))
    batches.offer(waiting(rows=4))

    with pytest.raises(Overloaded, match="100 rows"):
        batches.offer(waiting(rows=5))
    assert batches.waiting_rows == 104


def test_the_parts_of_a_large_request_become_as_long_as_they_should_be():
    batches = queue(max_batch_rows=1000)
    batches.offer(waiting(rows=10_000))
    sizes = []
    for _ in range(8):
        (part,) = batches.take()
        sizes.append(part.stop - part.start)
        batches.executed(sizes[-1], compute_s=sizes[-1] * 0.000_02)  # 100 rows in PART_S

    assert sizes == [1000, 500, 250, 125, 100, 100, 100, 100]


def test_what_fits_into_the_next_batch_is_not_split():
    batches = queue(max_batch_rows=4)
    for rows in (3, 2):
        batches.offer(waiting(rows=rows))

    assert [[(p.start, p.stop) for p in batches.take()] for _ in range(2)] == [[(0, 3)], [(0, 2)]]


def test_a_full_queue_says_when_to_come_back():
    batches = queue(max_queue_rows=10, max_batch_rows=5)
    batches.executed(rows=5, compute_s=2.0)
    for _ in range(2):
        batches.offer(waiting(rows=5))

    with pytest.raises(Overloaded) as refused:
        batches.offer(waiting())

    assert refused.value.details["retry_after_s"] == pytest.approx(6.0)


def test_a_request_larger_than_the_queue_is_taken_while_it_is_empty():
    batches = queue(max_queue_rows=10)
    batches.offer(waiting(rows=100))

    assert batches.waiting_rows == 100


def test_expired_and_dropped_requests_are_never_taken():
    batches = queue()
    expired, dropped, alive = waiting(deadline=1), waiting(), waiting(deadline=9)
    for request in (expired, dropped, alive):
        batches.offer(request)
    batches.drop(dropped)
    batches.drop(dropped)

    assert batches.expire(now=2) == [expired]
    assert [p.request for p in batches.take()] == [alive]
    assert batches.waiting_rows == 0


def test_max_delay_waits_for_company_but_not_for_a_full_batch():
    batches = queue(max_delay_ms=10, max_batch_rows=3)
    batches.offer(waiting(arrived=1.0))
    assert batches.due(now=1.004) == pytest.approx(0.006)
    assert batches.due(now=1.2) == 0.0

    batches.offer(waiting(rows=2, arrived=1.0))

    assert batches.due(now=1.0) == 0.0


def test_the_cap_shrinks_over_the_objective_and_grows_only_when_it_binds():
    batches = BatchQueue(Batching(latency_slo_ms=10, max_batch_rows=200))
    first = batches.cap_rows

    batches.executed(rows=first - 1, compute_s=0.001)
    assert batches.cap_rows == first
    batches.executed(rows=first, compute_s=0.001)
    assert batches.cap_rows > first
    grown = batches.cap_rows
    batches.executed(rows=grown, compute_s=0.02)
    assert batches.cap_rows < grown


@given(st.lists(st.tuples(st.integers(1, 300), st.floats(0, 1)), max_size=60))
def test_the_cap_stays_within_its_bounds(executions):
    batches = BatchQueue(Batching(max_batch_rows=100))
    for rows, compute_s in executions:
        batches.executed(rows, compute_s)
        assert 1 <= batches.cap_rows <= 100


class AnyOrder(RuleBasedStateMachine):
    """Any order of arrivals, cancels, expiries and executions: every row exactly once, or never."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.queue = BatchQueue(Batching(max_batch_rows=7, max_queue_rows=40, latency_slo_ms=0))
        self.offered: list[Waiting] = []
        self.gone: set[int] = set()
        self.rows: Counter[tuple[int, int]] = Counter()

    @rule(rows=st.integers(1, 20), kind=st.sampled_from(["a", "b", None]), patience=st.floats(0.5, 50))
    def arrive(self, rows, kind, patience):
        request = waiting(rows, kind, self.now + patience, self.now)
        large = rows > 7 and kind is not None
        alike = [r for r in self.offered if r.large == large and id(r) not in self.gone]
        ahead = sum(r.rows - r.taken for r in alike)
        full = ahead > 0 and ahead + rows > 40
        if full:
            with pytest.raises(Overloaded):
                self.queue.offer(request)
        else:
            self.queue.offer(request)
            self.offered.append(request)

    @precondition(lambda self: self.offered)
    @rule(data=st.data())
    def cancel(self, data):
        request = data.draw(st.sampled_from(self.offered))
        self.queue.drop(request)
        self.gone.add(id(request))

    @rule(seconds=st.floats(0, 10))
    def time_passes(self, seconds):
        self.now += seconds
        for request in self.queue.expire(self.now):
            assert request.deadline <= self.now
            self.gone.add(id(request))

    @rule()
    def execute(self):
        parts = self.queue.take()
        assert parts or not self.queue.waiting_rows
        assert len({p.request.kind if p.request.kind else id(p.request) for p in parts}) <= 1
        assert sum(p.stop - p.start for p in parts) <= 7 or parts[0].request.kind is None
        for part in parts:
            assert id(part.request) not in self.gone
            self.rows.update((id(part.request), row) for row in range(part.start, part.stop))

    @invariant()
    def no_row_twice(self):
        assert set(self.rows.values()) <= {1}

    @invariant()
    def the_count_is_true(self):
        left = sum(r.rows - r.taken for r in self.offered if id(r) not in self.gone)
        assert self.queue.waiting_rows == left

    def teardown(self):
        while self.queue.waiting_rows:
            self.execute()
        for request in self.offered:
            if id(request) not in self.gone:
                assert all(self.rows[id(request), row] == 1 for row in range(request.rows))


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
