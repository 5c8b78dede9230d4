"""What answers were worth, by their labels."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_core.errors import InvalidInput
from prism_core.traffic.rewards import predictions_of, reward_of


@pytest.mark.parametrize(
    ("answer", "output", "predictions"),
    [
        (b'{"model": "m", "version": 3, "predictions": [1, 0]}', "", [1, 0]),
        (b'{"predictions": 3}', "", [3]),  # what a fallback says
        (b"[1, 2]", "", [1, 2]),
        (b'{"predictions": [[1, 0], [0, 1]]}', "", [[1, 0], [0, 1]]),
        (b'{"outputs": [{"name": "label", "shape": [2], "data": ["a", "b"]}]}', "", ["a", "b"]),
        (
            b'{"outputs": [{"name": "p", "shape": [1], "data": [0.5]},'
            b' {"name": "label", "shape": [1], "data": ["a"]}]}',
            "label",
            ["a"],
        ),
        (b'{"outputs": [{"name": "y", "shape": [2, 2], "data": [1, 2, 3, 4]}]}', "y", [[1, 2], [3, 4]]),
        (b'{"outputs": [{"name": "y", "shape": [2, 1], "data": [1, 2]}]}', "y", [[1], [2]]),
    ],
)
def test_predictions(answer, output, predictions):
    assert predictions_of("application/json", answer, output) == predictions


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x93NUMPY",
        b'{"outputs": {}}',
        b'{"outputs": [1, null, {"data": 5}]}',
        b'{"outputs": []}',
        b'{"predictions":' + b"[" * 50_000,
    ],
)
def test_other_answers_have_none(answer):
    with pytest.raises(InvalidInput) as raised:
        predictions_of("application/json", answer)

    assert "reward" in raised.value.hint


@given(
    answer=st.binary(max_size=200),
    kind=st.sampled_from(["application/json", "application/vnd.prism.tensors", "application/vnd.prism.oip"]),
)
def test_no_answer_breaks_it(kind, answer):
    """A model may have written anything."""
    try:
        predictions_of(kind, answer, "y")
    except InvalidInput:
        pass


@pytest.mark.parametrize(
    ("predictions", "labels", "tolerance", "reward"),
    [
        (["yes"], ["yes"], 0, 1),
        (["yes"], ["no"], 0, 0),
        ([1], [1], 0, 1),
        ([1.0], [1], 0, 1),
        ([True], [True], 0, 1),
        ([1], ["1"], 0, 1),  # as CSV has it
        ([1], ["1.0"], 0, 1),
        (["1"], [1], 0, 1),
        (["1"], ["1.0"], 0, 0),
        ([1], ["one"], 0, 0),
        ([None], [1], 0, 0),  # a NaN
        ([1, 0, 1, 1], [1, 1, 1, 0], 0, 0.5),
        ([[1]], [1], 0, 1),
        ([[1, 0, 1]], [[1, 1, 1]], 0, 2 / 3),
        ([10.5], [10.5], 2, 1),
        ([10.5], [11], 2, 0.75),
        ([10.5], ["11"], 2, 0.75),
        ([10.5], [20], 2, 0),
        ([10.5], ["far"], 2, 0),
        ([10**400], [1], 2, 0),
    ],
)
def test_reward(predictions, labels, tolerance, reward):
    assert reward_of(predictions, labels, tolerance) == pytest.approx(reward)


@pytest.mark.parametrize(
    ("predictions", "labels", "said"),
    [
        ([1, 2], [1], "2 predictions, and 1 label came"),
        ([], [], "0 predictions"),
        ([1], [None], "A label is"),
        ([1], [{"a": 1}], "A label is"),
        (["a"], ["a" * 1001], "A label is"),
        ([1], [[1]], "a list"),
        ([0.5], [0.5], "fraction"),
        ([1], [0.5], "fraction"),
    ],
)
def test_what_cannot_be_compared_is_told(predictions, labels, said):
    with pytest.raises(InvalidInput, match=said):
        reward_of(predictions, labels)


values = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=9))
nested = st.recursive(values, lambda inner: st.lists(inner, max_size=3), max_leaves=6)


@given(
    predictions=st.lists(nested, max_size=4),
    labels=st.lists(nested, max_size=4),
    tolerance=st.one_of(st.just(0.0), st.floats(1e-3, 1e3)),
)
def test_a_reward_is_between_0_and_1(predictions, labels, tolerance):
    try:
        reward = reward_of(predictions, labels, tolerance)
    except InvalidInput:
        return

    assert 0 <= reward <= 1


@given(labels=st.lists(st.one_of(st.booleans(), st.integers(), st.text(max_size=9)), min_size=1, max_size=9))
def test_what_is_right_is_worth_1(labels):
    assert reward_of(labels, labels) == 1
