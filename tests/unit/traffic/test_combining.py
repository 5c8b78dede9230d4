"""Combining answers: equal to numpy's own, in any order, with any weights, with gaps."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from prism_core.errors import ModelFailed, NoQuorum
from prism_core.traffic.combination import AGREEMENT, JOIN, ONLY, Combination, Member
from prism_core.traffic.combining import combine, join

finite = st.floats(-1e6, 1e6)
weights = st.floats(0.01, 100)
rows = st.integers(1, 6)


def answers_of(arrays: Any, name: str = "y", given: Any = (), places: Any = ()) -> list[Any]:
    given = given or [1.0] * len(arrays)
    named = {"labels": name} if name != "p" else {"labels": "", "probabilities": "p", "places": places}
    return [
        (Member("m", at, weight, **named), {name: np.asarray(array)})
        for at, (array, weight) in enumerate(zip(arrays, given, strict=True))
    ]


def averaged(arrays: Any, given: Any = (), how: str = "weighted") -> Any:
    return combine(Combination(how, (), labels="y"), answers_of(arrays, given=given))["y"]


def voted(arrays: Any, given: Any = ()) -> list[Any]:
    return combine(Combination("vote", (), labels="y"), answers_of(arrays, given=given))["y"].tolist()


@st.composite
def columns(draw, values=finite, dtype=np.float64):
    shape = (draw(rows),)
    return draw(st.lists(hnp.arrays(dtype, shape, elements=values), min_size=1, max_size=5))


@st.composite
def weighed(draw, values=finite, dtype=np.float64):
    arrays = draw(columns(values, dtype))
    return arrays, draw(st.lists(weights, min_size=len(arrays), max_size=len(arrays)))


# --- means -------------------------------------------------------------------------------------


@given(weighed())
def test_a_mean_is_numpys(scene):
    arrays, given = scene

    assert averaged(arrays, how="mean") == pytest.approx(np.mean(arrays, axis=0), abs=1e-6)
    assert averaged(arrays, given) == pytest.approx(np.average(arrays, axis=0, weights=given), abs=1e-6)


@given(weighed(st.floats(-1e6, 1e6) | st.just(np.nan)), st.randoms(), st.floats(1e-3, 1e3))
def test_neither_the_order_of_members_nor_the_scale_of_weights_matters(scene, random, scale):
    pairs = list(zip(*scene, strict=True))
    random.shuffle(pairs)
    arrays, given = zip(*pairs, strict=True)

    assert averaged(arrays, [one * scale for one in given]) == pytest.approx(
        averaged(*scene), nan_ok=True, abs=1e-6
    )


@given(hnp.arrays(np.float64, (4,), elements=finite), weights)
def test_one_member_is_itself(values, weight):
    assert averaged([values], [weight]) == pytest.approx(values)
    assert voted([values], [weight]) == values.tolist()


@given(columns(finite | st.just(np.nan)))
def test_what_is_nan_in_one_member_is_left_to_the_others(arrays):
    stacked = np.array(arrays)
    there = ~np.isnan(stacked)
    expected = np.where(
        there.any(axis=0), np.nansum(stacked, axis=0) / np.maximum(1, there.sum(axis=0)), np.nan
    )

    assert averaged(arrays, how="mean") == pytest.approx(expected, nan_ok=True, abs=1e-6)


def test_infinities_of_both_signs_have_no_mean():
    assert np.isnan(averaged([[np.inf], [-np.inf]], how="mean")).all()


@pytest.mark.parametrize(
    ("types", "expected"), [(["f4", "f4"], "f4"), (["f4", "f8"], "f8"), (["f2", "f4"], "f4")]
)
def test_a_mean_keeps_the_type_that_holds_all(types, expected):
    assert averaged([np.ones(2, one) for one in types]).dtype == expected


def test_a_column_of_one_is_a_column():
    assert averaged([[1.0, 3.0], [[3.0], [5.0]]]).tolist() == [2.0, 4.0]


# --- probabilities -----------------------------------------------------------------------------


def classified(how: str, arrays: Any, classes: Any, places: Any, labels: Any = None) -> dict[str, Any]:
    answers = [
        (Member("m", at, 1.0, "y", "p", place), {"p": np.asarray(array), "y": np.asarray(label)})
        for at, (array, place, label) in enumerate(zip(arrays, places, labels or arrays, strict=True))
    ]
    datatype = "BYTES" if isinstance(classes[0], str) else "INT64"
    return combine(Combination(how, (), 1, "y", "p", datatype, classes), answers)


def test_classes_are_brought_into_one_order():
    found = classified("mean", [[[0.9, 0.1]], [[0.3, 0.7]]], ("no", "yes"), [(), (1, 0)])

    assert found["p"] == pytest.approx(np.array([[0.8, 0.2]]))
    assert found["y"].tolist() == ["no"]


def test_of_equal_probabilities_the_first_class_wins():
    found = classified("mean", [[[0.1, 0.9]], [[0.9, 0.1]]], (7, 9), [(), ()])

    assert (found["y"].tolist(), found["y"].dtype) == ([7], np.int64)


def test_the_member_that_is_surest_answers_each_row():
    arrays = [[[0.6, 0.4], [0.3, 0.7]], [[0.1, 0.9], [0.45, 0.55]]]
    found = classified("max_probability", arrays, (0, 1), [(), ()], [[0, 1], [1, 1]])

    assert found["y"].tolist() == [1, 1]
    assert found["p"].tolist() == [[0.1, 0.9], [0.3, 0.7]]


def test_of_equally_sure_members_the_first_class_wins_in_any_order():
    arrays, labels = [[[0.2, 0.8]], [[0.8, 0.2]]], [[1], [0]]
    for order in permutations((0, 1)):
        found = classified(
            "max_probability", [arrays[at] for at in order], (0, 1), [(), ()], [labels[at] for at in order]
        )
        assert found["y"].tolist() == [0]


@pytest.mark.parametrize("how", ["mean", "max_probability"])
def test_a_member_that_is_nan_somewhere_in_a_row_has_no_part_in_it(how):
    arrays = [[[np.nan, 0.9], [0.2, 0.8]], [[0.6, 0.4], [0.4, 0.6]]]
    found = classified(how, arrays, (0, 1), [(), ()], [[1, 1], [0, 1]])

    assert found["p"][0].tolist() == [0.6, 0.4]
    assert found["y"].tolist() == [0, 1]


@pytest.mark.parametrize("how", ["mean", "max_probability"])
def test_a_row_without_any_probability_has_no_label(how):
    with pytest.raises(ModelFailed, match="row 1"):
        classified(how, [[[0.5, 0.5], [np.nan, np.nan]]], (0, 1), [()], [[0, 0]])


# --- votes -------------------------------------------------------------------------------------


@given(weighed(st.integers(0, 3), np.int64), st.randoms(), st.floats(1e-3, 1e3))
def test_a_vote_is_the_label_of_the_most_weight_in_any_order(scene, random, scale):
    pairs = list(zip(*scene, strict=True))
    random.shuffle(pairs)
    arrays, given = zip(*pairs, strict=True)
    found = voted(arrays, [one * scale for one in given])

    assert found == voted(*scene)
    for row, label in enumerate(found):
        votes = {one: 0.0 for one in range(4)}
        for array, weight in zip(*scene, strict=True):
            votes[int(array[row])] += weight
        assert votes[label] == pytest.approx(max(votes.values()))


@pytest.mark.parametrize(
    ("arrays", "given", "expected"),
    [
        ([[2], [1]], (), [1]),
        ([["pro"], ["basic"]], (), ["basic"]),
        ([[1], [2], [2]], (2, 1, 1), [1]),
        ([[1], [2], [2]], (0.3, 0.1, 0.2), [1]),
        ([[1], [2], [2]], (1.9, 1, 1), [2]),
        ([[True], [False], [False]], (), [False]),
        ([[1.0], [np.nan], [np.nan]], (), [1.0]),
        ([["a"], [None], [None]], (), ["a"]),
        ([[[1, 2]], [[1, 3]], [[0, 3]]], (), [[1, 3]]),
    ],
    ids=str,
)
def test_votes(arrays, given, expected):
    texts = isinstance(arrays[0][0], str)

    assert voted([np.array(one, object if texts else None) for one in arrays], given) == expected


def test_a_vote_says_how_much_was_for_it():
    found = combine(
        Combination("vote", (), labels="y"), answers_of([[1, 1], [1, 2], [2, 3]], given=(2, 1, 1))
    )

    assert found[AGREEMENT].tolist() == [0.75, 0.5]


def test_texts_that_all_lack_have_no_winner():
    with pytest.raises(ModelFailed, match="row 0"):
        voted([np.array([None], object)])


@given(columns(st.integers(0, 3), np.int64), st.integers(2, 4))
def test_a_quorum_is_as_many_equal_labels(arrays, need):
    counted = [np.bincount([int(one[row]) for one in arrays]) for row in range(len(arrays[0]))]
    combination = Combination("quorum", (), need, "y")
    lacking = [row for row, counts in enumerate(counted) if counts.max() < need]

    if not lacking:
        assert combine(combination, answers_of(arrays))["y"].tolist() == [one.argmax() for one in counted]
        return
    with pytest.raises(NoQuorum, match=f"row {lacking[0]}") as refused:
        combine(combination, answers_of(arrays))
    assert refused.value.details == {"rows": lacking, "count": len(lacking)}


# --- what does not fit -------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["mean", "vote"])
@pytest.mark.parametrize(
    ("arrays", "why"),
    [
        ([[1.0, 2.0], [1.0]], "m/0 answered 2 rows, m/1 answered 1"),
        ([[[1.0, 2.0]], [[1.0, 2.0, 3.0]]], r"the shape \(1, 2\), m/1 answered \(1, 3\)"),
    ],
)
def test_answers_of_different_shapes_are_refused(how, arrays, why):
    with pytest.raises(ModelFailed, match=why):
        combine(Combination(how, (), labels="y"), answers_of(arrays))


@pytest.mark.parametrize(
    ("how", "array"), [("mean", np.array(["a"], object)), ("vote", np.array(["2024"], "M8[s]"))]
)
def test_what_is_no_number_is_refused(how, array):
    with pytest.raises(ModelFailed, match="m/0 answered"):
        combine(Combination(how, (), labels="y"), answers_of([array]))


def test_texts_and_numbers_are_no_vote():
    with pytest.raises(ModelFailed, match="texts and others numbers"):
        voted([np.array(["a"], object), np.array([1])])


def test_an_output_that_is_missing_is_refused():
    with pytest.raises(ModelFailed, match="no numbers in 'z'"):
        combine(Combination("mean", (), labels="y"), [(Member("m", 1, labels="z"), {"y": np.ones(1)})])


# --- columns -----------------------------------------------------------------------------------


def test_columns_are_joined_in_the_order_of_the_members():
    answers = [
        (Member("a", 1, 1.0, "y", "p"), {"p": np.array([[0.1, 0.9]]), "y": np.array([1])}),
        (Member("b", 1, 1.0, "y"), {"y": np.array([7])}),
        (Member("c", 1, 1.0, "y"), {"y": np.arange(4.0).reshape(1, 2, 2)}),
    ]

    assert join(answers).tolist() == [[0.1, 0.9, 7.0, 0.0, 1.0, 2.0, 3.0]]
    assert combine(Combination(JOIN, ()), answers)[JOIN].shape == (1, 7)


def test_the_only_answer_is_passed_on_as_it_is():
    outputs = {"a": np.ones(2), "b": ["x"]}
    combination = Combination(ONLY, (), others=("b", "c"))

    assert combine(combination, [(Member("m", 1), outputs)]) == {"b": ["x"]}
