"""The capacity is what is answered wholly and in time."""

from __future__ import annotations

import pytest

from bench.scenarios import capacity_of


def server(most, unlucky=()):
    """Answer rates up to ``most`` in time, but for the tries whose numbers are unlucky."""
    tries = iter(range(100))

    def offer(rate):
        bad = rate > most or next(tries) in unlucky
        return {"refused_rps": 10.0 * bad, "p99_ms": 5.0}

    return offer


@pytest.mark.parametrize(
    ("most", "unlucky", "capacity"),
    [(750, (), 700), (2000, (), 1100), (10, (), 400), (750, (0, 1, 3), 700)],
    ids=["found", "beyond", "below", "a rate misses only when it missed each time"],
)
def test_the_capacity(most, unlucky, capacity):
    assert capacity_of(1000, server(most, unlucky)) == pytest.approx(capacity)


def test_an_answer_that_comes_too_late_is_none():
    assert capacity_of(1000, lambda rate: {"refused_rps": 0.0, "p99_ms": 101.0}) == 400
