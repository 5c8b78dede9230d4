"""The phase table of a version."""

from __future__ import annotations

import itertools

import pytest

from prism_core.errors import IllegalTransition
from prism_core.gateway.lifecycle import MOVES, State, move

LEGAL = {
    ("STORED", "STARTING"),
    ("STORED", "STOPPED"),
    ("STARTING", "READY"),
    ("STARTING", "DRAINING"),
    ("STARTING", "FAILED"),
    ("READY", "DRAINING"),
    ("READY", "FAILED"),
    ("DRAINING", "STOPPED"),
    ("DRAINING", "FAILED"),
    ("STOPPED", "STARTING"),
    ("FAILED", "STARTING"),
    ("FAILED", "STOPPED"),
}


@pytest.mark.parametrize(("state", "target"), list(itertools.product(State, State)))
def test_every_pair_is_a_move_or_an_error(state, target):
    if (state, target) in LEGAL:
        assert move("churn/3", state, target) is target
    else:
        with pytest.raises(IllegalTransition, match="churn/3"):
            move("churn/3", state, target)


def test_every_state_can_be_left_and_reached():
    reached = {target for targets in MOVES.values() for target in targets}

    assert set(MOVES) == set(State)
    assert reached == set(State) - {State.STORED}


def test_the_error_says_what_is_possible():
    with pytest.raises(IllegalTransition) as caught:
        move("churn/3", State.READY, State.STARTING)

    assert "READY" in caught.value.message
    assert "DRAINING or FAILED" in caught.value.message
    assert caught.value.hint == "It is being served already."
