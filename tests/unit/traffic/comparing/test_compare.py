"""Two answers to the same request: what agrees, by how much not, and what cannot be compared."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_core.inputs.tensors import pack
from prism_core.traffic.comparing import Answer, Tolerance, compare
from prism_core.traffic.comparing.answers import MOST_BYTES
from prism_core.types import Batch

TENSORS = "application/vnd.prism.tensors"


def prism(version=3, **outputs):
    body = {"model": "churn", "version": version, **outputs}
    return Answer("application/json", json.dumps(body).encode())


def v1(*rows):
    return Answer("application/json", json.dumps({"predictions": rows}).encode())


def v2(*outputs, version="3"):
    body = {"model_name": "churn", "model_version": version, "outputs": outputs}
    return Answer("application/json", json.dumps(body).encode())


def output(*data, name="y", datatype="FP64", shape=None):
    return {"name": name, "datatype": datatype, "shape": shape or [len(data)], "data": list(data)}


def tensors(**arrays):
    return Answer(TENSORS, pack(Batch({name: np.asarray(a) for name, a in arrays.items()})))


def texts(*values):
    return np.array(values, dtype=object)


def error(code):
    return Answer(code=code)


@pytest.mark.parametrize(
    ("live", "other", "rows", "agreed"),
    [
        (prism(predictions=["yes", "no"]), prism(4, predictions=["yes", "no"]), 2, 2),
        (prism(predictions=["yes", "no"]), prism(4, predictions=["yes", "yes"]), 2, 1),
        (prism(predictions=[1, 0]), prism(predictions=[1, 1]), 2, 1),
        (prism(predictions=[1, 2]), prism(predictions=[1.0, 2.5]), 2, 1),
        (prism(predictions=[True]), prism(predictions=[1]), 1, 0),
        (prism(predictions=["1"]), prism(predictions=[1]), 1, 0),
        (prism(predictions=[None, "a"]), prism(predictions=[None, None]), 2, 1),
        (prism(predictions=[100.0, 100.0]), prism(predictions=[100.9, 101.1]), 2, 1),
        (prism(predictions=[0.0, 0.0]), prism(predictions=[1e-7, 1e-5]), 2, 1),
        (prism(predictions=5), prism(predictions=6), 1, 0),
        (prism(predictions=[]), prism(predictions=[]), 0, 0),
        (prism(predictions=[[1.0, 2.0]]), prism(predictions=[[1.0, 2.0, 3.0]]), 1, 0),
        (prism(predictions=[{"a": [1]}]), prism(predictions=[{"a": [1]}]), 1, 1),
        (prism(predictions=[{"a": [1]}]), prism(predictions=[{"b": [1]}]), 1, 0),
        (prism(predictions=[[]]), prism(predictions=[[1]]), 1, 0),
        (v1("yes", "no"), v1("yes", "no"), 2, 2),
        (v1("yes", "no"), prism(predictions=["no", "no"]), 2, 1),
        (v2(output(1.0, 2.0)), v2(output(1.0, 3.0), version="4"), 2, 1),
        (v2(output(1.0, 2.0)), v2(output(1.0, 2.0, name="z")), 2, 2),  # the only one, by another name
        (v2(output(1, 2, 3, 4, shape=[2, 2])), v2(output(1, 2, 3, 5, shape=[2, 2])), 2, 1),
        (tensors(y=[1.0, 2.0]), tensors(y=[1.0, 2.5]), 2, 1),
        (tensors(y=np.float32([1, 2])), tensors(y=[1.0, 2.0]), 2, 2),
        (tensors(y=np.float16([[1, 2], [3, 4]])), tensors(y=np.float16([[1, 2], [3, 5]])), 2, 1),
        (tensors(y=texts("a", None)), tensors(y=texts("a", "b")), 2, 1),
        (tensors(y=[math.nan, 1.0]), tensors(y=[math.nan, math.nan]), 2, 1),
        (tensors(y=[True, False]), tensors(y=[True, True]), 2, 1),
        (tensors(y=np.zeros((2, 0))), tensors(y=np.zeros((2, 0))), 1, 1),
        (Answer("text/csv", b"a\n1"), Answer("text/csv", b"a\n1"), 1, 1),
        (Answer("text/csv", b"a\n1"), Answer("text/csv", memoryview(b"a\n2")), 1, 0),
    ],
)
def test_rows_agree_or_do_not(live, other, rows, agreed):
    found = compare(live, other)

    assert (found.rows, found.agreed, found.why) == (rows, agreed, "")
    assert bool(found.said) == (agreed < rows)


@pytest.mark.parametrize(
    ("live", "other", "why"),
    [
        (prism(predictions=[1]), error("model_failed"), "other_failed"),
        (error("overloaded"), prism(predictions=[1]), "live_failed"),
        (error("invalid_input"), error("invalid_input"), "both_failed"),
        (prism(predictions=[1]), tensors(y=[1]), "media_types"),
        (prism(predictions=[1]), prism(scores=[1], more=[2]), "outputs"),
        (prism(predictions=[1, 2]), prism(predictions=[1]), "row_counts"),
        (Answer("application/json", b"{"), prism(predictions=[1]), "unreadable"),
        (Answer(TENSORS, b"PRT1\x05\0\0\0"), tensors(y=[1]), "unreadable"),
        (prism(predictions=["x" * MOST_BYTES]), prism(predictions=["y"]), "unreadable"),
    ],
)
def test_what_cannot_be_compared_is_said(live, other, why):
    found = compare(live, other)

    assert (found.rows, found.why) == (0, why)
    assert found.said


def test_unreadable_answers_that_are_equal_agree():
    broken = Answer("application/json", b"{")

    assert compare(broken, broken).agreed == 1


def test_a_row_agrees_where_all_of_its_outputs_do():
    live = prism(predictions=["a", "b", "c"], score=[1.0, 2.0, 3.0])
    other = prism(predictions=["a", "b", "x"], score=[1.0, 9.0, 3.0])

    found = compare(live, other)

    assert (found.rows, found.agreed) == (3, 1)
    assert {name: one.agreed for name, one in found.outputs.items()} == {"predictions": 2, "score": 2}
    assert found.said == 'row 3 of predictions: "c" / "x"'


def test_an_output_that_is_not_told_by_row_belongs_to_each():
    live, other = prism(predictions=["a", "b"], total=1.0), prism(predictions=["a", "b"], total=7.0)

    assert (compare(live, other).rows, compare(live, other).agreed) == (2, 0)


def test_probabilities_agree_where_the_same_class_is_the_likeliest():
    live = prism(predictions=["a", "b"], probabilities=[[0.9, 0.1], [0.4, 0.6]])
    other = prism(predictions=["a", "a"], probabilities=[[0.6, 0.4], [0.55, 0.45]])

    found = compare(live, other).outputs["probabilities"]

    assert (found.probabilities, found.likeliest, found.agreed) == (2, 1, 1)
    assert found.probability_most == pytest.approx(0.3)
    assert (found.live.classes, found.other.classes) == ({"0": 1, "1": 1}, {"0": 2})


def test_probabilities_by_name_are_probabilities():
    live, other = prism(predictions=[{"a": 0.7, "b": 0.3}]), prism(predictions=[{"b": 0.1, "a": 0.9}])

    found = compare(live, other).outputs["predictions"]

    assert (found.probabilities, found.likeliest) == (1, 1)


def test_the_tolerance_is_the_callers():
    live, other = prism(predictions=[10.0]), prism(predictions=[12.0])

    assert compare(live, other, Tolerance(absolute=2.0)).agreed == 1
    assert compare(live, other, Tolerance(relative=0.2)).agreed == 1
    assert compare(live, other, Tolerance(absolute=1.9, relative=0.1)).agreed == 0


def test_only_the_first_rows_are_looked_at():
    live, other = prism(predictions=[0] * 50), prism(predictions=[0] * 10 + [1] * 40)

    assert (compare(live, other, most_rows=12).rows, compare(live, other, most_rows=12).agreed) == (12, 10)


def test_wide_rows_are_compared_one_at_least():
    wide = tensors(y=np.zeros((3, 9000)))

    assert compare(wide, wide).rows == 1


# --- properties ------------------------------------------------------------------------------

names = st.sampled_from(["", "a", "b", "yes"])
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | names
cells = scalars | st.lists(scalars, max_size=3) | st.dictionaries(names, scalars, max_size=2)
outputs = st.dictionaries(st.sampled_from(["predictions", "a", "b"]), st.lists(cells, max_size=4), min_size=1)
codes = st.sampled_from(["ok", "ok", "ok", "model_failed", "overloaded"])


@st.composite
def answers(draw):
    code = draw(codes)
    if code != "ok":
        return Answer(code=code)
    if draw(st.booleans()):
        return prism(**draw(outputs))
    kind = draw(st.sampled_from(["application/json", TENSORS, "application/vnd.prism.oip", "text/csv"]))
    return Answer(kind, draw(st.binary(max_size=40)))


@given(answers(), answers())
def test_it_is_the_same_the_other_way_round(live, other):
    one, another = compare(live, other), compare(other, live)
    turned = {"live_failed": "other_failed", "other_failed": "live_failed"}

    assert (one.rows, one.agreed) == (another.rows, another.agreed)
    assert one.why == turned.get(another.why, another.why)
    for mine, theirs in zip(one.outputs.values(), another.outputs.values(), strict=True):
        assert (mine.live, mine.other) == (theirs.other, theirs.live)
        assert (mine.agreed, mine.apart_most) == (theirs.agreed, theirs.apart_most)


@given(answers())
def test_an_answer_agrees_with_itself(answer):
    found = compare(answer, answer)

    assert found.agreed == found.rows
    assert found.why in ("", "both_failed")
    assert found.disagreement == 0


@given(st.lists(st.sampled_from("abc"), min_size=1), st.data())
def test_labels_are_counted_one_by_one(labels, data):
    others = data.draw(st.lists(st.sampled_from("abc"), min_size=len(labels), max_size=len(labels)))

    found = compare(tensors(y=texts(*labels)), tensors(y=texts(*others)))

    assert found.agreed == sum(map(str.__eq__, labels, others))
    assert found.outputs["y"].live.classes == {one: labels.count(one) for one in set(labels)}
