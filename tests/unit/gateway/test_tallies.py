"""What call records add up to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_core.gateway.tallies import SIZES, VersionCalls, size_of, statistics_of
from prism_core.serving import Executions, Statistics
from prism_core.specs import CallRecord


def ok(rows=1, batch_rows=1, *, queue_s=0.001, compute_s=0.002, total_s=0.01, cache="bypass"):
    return CallRecord("churn", 1, 200, "ok", rows, batch_rows, queue_s, compute_s, total_s, cache)


def ended(status, code, total_s=0.01):
    return CallRecord("churn", 1, status, code, 0, 0, 0.0, 0.0, total_s, "bypass")


def kept(cache="hit", total_s=0.001):
    return CallRecord("churn", 1, 200, "ok", 4, 0, 0.0, 0.0, total_s, cache)


def tally_of(*records):
    tally = VersionCalls()
    for record in records:
        tally.add(record)
    return tally


def statistics(*records):
    return statistics_of("churn", 1, tally_of(*records))


def test_whoever_was_never_asked_has_nothing():
    assert statistics_of("churn", 1, None) == statistics() == Statistics("churn", 1)


@pytest.mark.parametrize(
    ("records", "executions", "rows", "batches"),
    [
        ([ok()], 1, 1, {1: 1}),
        ([ok(), ok()], 2, 2, {1: 2}),
        ([ok(1, 3), ok(1, 3), ok(1, 3)], 1, 3, {3: 1}),
        ([ok(1, 3), ok(2, 3), ok(3, 3)], 2, 6, {3: 2}),
        ([ok(5, 8), ok(3, 8), ok(1, 1)], 2, 9, {8: 1, 1: 1}),
        ([ok(100, 50)], 2, 100, {50: 2}),  # taken in two parts
        ([ok(10_001, 3334)], 3, 10_001, {3334: 3}),
        ([ok(1, 64)], 1, 1, {64: 1}),  # all others have hung up: there was one
        ([ok(62, 64)], 1, 62, {64: 1}),
        ([kept(), kept("coalesced")], 0, 0, {}),
        ([ended(503, "overloaded")], 0, 0, {}),
    ],
)
def test_executions_are_the_parts_that_requests_had_of_them(records, executions, rows, batches):
    found = statistics(*records)

    assert (found.executions, found.rows) == (executions, rows)
    assert {size: some.count for size, some in found.batches.items()} == batches


def test_the_time_of_an_execution_counts_once_in_its_size_and_for_each_request():
    found = statistics(ok(1, 2, compute_s=0.5), ok(1, 2, compute_s=0.5), ok(1, 1, compute_s=0.25))

    assert found.batches == {2: Executions(1, 0.5), 1: Executions(1, 0.25)}
    assert found.compute_s == 1.25
    assert found.computed == 3


def test_a_request_of_several_executions_has_all_of_their_time():
    assert statistics(ok(100, 50, compute_s=0.5)).batches == {50: Executions(2, 0.5)}
    assert tally_of(ok(100, 50, compute_s=0.5)).busy_s == 0.5


def test_outcomes_are_told_apart():
    found = statistics(
        ok(total_s=1.0),
        kept("hit", total_s=0.25),
        kept("coalesced", total_s=0.5),
        ended(422, "invalid_input", 2.0),
        ended(503, "overloaded", 4.0),
        ended(499, "cancelled", 8.0),
        ok(cache="miss", total_s=1.0),
    )

    assert (found.succeeded, found.succeeded_s) == (4, 2.75)
    assert (found.failed, found.failed_s) == (2, 6.0)
    assert found.cancelled == 1
    assert (found.hits, found.hits_s, found.misses) == (2, 0.75, 1)
    assert found.computed == 2


@given(st.lists(st.lists(st.integers(1, 40), min_size=1, max_size=60), max_size=30), st.randoms())
def test_batches_are_counted_exactly_whatever_the_order_of_their_requests(batches, random):
    records = [ok(rows, sum(batch)) for batch in batches for rows in batch]
    random.shuffle(records)

    found = statistics(*records)

    assert found.executions == len(batches)
    assert found.rows == sum(map(sum, batches))
    assert sum(some.count for some in found.batches.values()) == len(batches)


@given(st.integers(1, 10**12))
def test_sizes_stay_few(rows):
    size = size_of(rows)

    assert size <= rows < 2 * size
    assert size < SIZES or size & (size - 1) == 0
