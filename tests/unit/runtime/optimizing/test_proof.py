"""Two forms are alike only if every label, every refusal and every number within the tolerance is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_core.errors import InvalidInput
from prism_core.plugin import BaseModel, Batch, Signature, TensorSpec
from prism_core.runtime.optimizing.proof import Proof, error_of, usual_sizes

SIGNATURE = Signature(
    (TensorSpec("x", "FP64", (-1,)),),
    (TensorSpec("label", "BYTES", (-1,)), TensorSpec("score", "FP64", (-1,))),
)


class Form(BaseModel):
    """Labels by sign and scores by ``score``; refuses NaN unless told otherwise, fails on infinity."""

    signature = SIGNATURE

    def __init__(self, score=lambda x: x * 3, border=0.0, refuses=True):
        self.score, self.border, self.refuses = score, border, refuses

    def predict(self, inputs):
        x = inputs["x"]
        if self.refuses and np.isnan(x).any():
            raise InvalidInput("There is a gap.")
        if np.isinf(x).any():
            raise ValueError("infinite")
        labels = np.where(x > self.border, "above", "below").astype(object)
        return Batch({"label": labels, "score": self.score(x)})


def rows(*values):
    return Batch({"x": np.array(values)})


def objection(twin, batch, tolerance=1e-6):
    return Proof(Form(), twin, tolerance, {}).objection(batch)


def test_equal_forms_have_no_objection():
    proof = Proof(Form(), Form(), 1e-6, {})

    assert proof.objection(rows(1.0, -2.0, 3.0)) == ""
    assert (proof.rows, proof.largest_error) == (3, 0.0)


@pytest.mark.parametrize(
    ("twin", "batch", "said"),
    [
        (Form(border=1.5), rows(1.0, 1.2, 2.0), "label differ in 2 of 3 rows"),
        (Form(lambda x: x * 3.001), rows(1.0), "score are off by 3.3e-04, more than 1e-06"),
        (Form(lambda x: x * np.nan), rows(1.0), "score are off by inf"),
        (Form(lambda x: (x * 3).astype(np.float32)), rows(1.0), "score is float32"),
        (
            Form(lambda x: (x * 3).reshape(-1, 1)),
            rows(1.0),
            r"score is float64 (1, 1) instead of float64 (1,)",
        ),
        (
            Form(refuses=False),
            rows(1.0, np.nan),
            "the original refuses a row that the converted form answers",
        ),
        (Form(refuses=False), rows(np.nan, 2.0, 3.0), "x=[nan]"),
    ],
)
def test_what_differs_is_told(twin, batch, said):
    assert said in objection(twin, batch)


def test_what_both_refuse_alike_is_no_difference():
    proof = Proof(Form(), Form(), 1e-6, {})

    assert proof.objection(rows(1.0, np.nan, 2.0, np.inf, 3.0)) == ""
    assert proof.rows == 5


def test_a_refusal_is_not_an_error_of_the_model():
    class Failing(Form):
        def predict(self, inputs):
            if np.isnan(inputs["x"]).any():
                raise ValueError("a gap")
            return super().predict(inputs)

    assert "refuses a row that the converted form fails on" in objection(Failing(), rows(np.nan))


def test_the_largest_error_of_all_batches_is_remembered():
    proof = Proof(Form(), Form(lambda x: x * 3 * (1 + 1e-9 * x)), 1e-6, {})
    for value in (1.0, 100.0, 2.0):
        assert proof.objection(rows(value)) == ""

    assert proof.largest_error == pytest.approx(1e-7, rel=1e-3)


def test_an_error_near_zero_is_measured_by_what_is_usual():
    usual = usual_sizes({"score": np.array([10.0, -10.0, np.inf])})
    mine, other = np.array([1e-9]), np.array([1.5e-9])

    assert error_of(mine, other) == pytest.approx(0.5)
    assert error_of(mine, other, usual["score"]) < 1e-9


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1), st.data())
def test_one_number_that_is_off_is_found_wherever_it_is(values, data):
    mine = np.array(values)
    place = data.draw(st.integers(0, len(values) - 1))
    other = mine.copy()
    finite = np.isfinite(mine[place])
    other[place] = mine[place] / 2 + 1.0 if finite and mine[place] != 2.0 else 5.0

    assert error_of(mine, mine) == 0.0
    assert error_of(mine, other) > 1e-6
