"""How much moves when weights change, beside the split that moves it."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_core.traffic.moves import Move, moves
from prism_core.traffic.splitting import Split


def test_a_canary_that_grows_moves_what_it_grows_by():
    assert moves({"3": 90, "4": 10}, {"3": 80, "4": 20}) == [Move("3", "4", 10.0)]


def test_the_same_relation_moves_nothing():
    assert moves({"3": 9, "4": 1}, {"3": 90, "4": 10}) == []


def test_all_of_one_is_parted():
    assert moves({"3": 1}, {"3": 50, "4": 30, "5": 20}) == [Move("3", "4", 30.0), Move("3", "5", 20.0)]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"a": 50, "b": 30, "c": 20}, {"a": 20, "b": 30, "c": 50}),
        ({"a": 1, "b": 2, "c": 3, "d": 4}, {"a": 4, "b": 0, "c": 2, "e": 1}),
    ],
)
def test_what_is_told_is_what_the_split_does(before, after):
    """20,000 users: three times the deviation of a share is about one per cent."""
    splits = [Split("m", [(n, w, n) for n, w in weights.items()]) for weights in (before, after)]
    users = [str(number).encode() for number in range(20_000)]
    seen = Counter(tuple(split.choose(user) for split in splits) for user in users)
    told = {(move.source, move.target): move.percent for move in moves(before, after)}

    for pair in {pair for pair in seen if pair[0] != pair[1]} | told.keys():
        assert seen[pair] / 200 == pytest.approx(told.get(pair, 0.0), abs=1.1)


WEIGHTS = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 100), min_size=1).filter(
    lambda weights: any(weights.values())
)


@given(WEIGHTS, WEIGHTS)
def test_what_moves_makes_the_difference(before, after):
    flows = moves(before, after)
    for name in before.keys() | after.keys():
        net = sum(f.percent * ((f.target == name) - (f.source == name)) for f in flows)
        was, then = (100 * w.get(name, 0) / sum(w.values()) for w in (before, after))
        assert net == pytest.approx(then - was, abs=1e-4)
