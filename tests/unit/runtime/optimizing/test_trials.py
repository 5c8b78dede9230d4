"""Rows for a comparison: they fit the signature, reach its edges, and find every jump."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prism_core.plugin import BaseModel, Batch, InvalidInput, Signature, TensorSpec
from prism_core.runtime.optimizing.proof import Proof
from prism_core.runtime.optimizing.trials import drawn, edges, jumps, like
from prism_core.testing import assert_fits

MIXED = Signature(
    inputs=(
        TensorSpec("age", "FP64", (-1,), nullable=True),
        TensorSpec("plan", "BYTES", (-1,), categories=("basic", "pro")),
        TensorSpec("note", "BYTES", (-1,), nullable=True),
        TensorSpec("visits", "INT64", (-1,)),
        TensorSpec("active", "BOOL", (-1,)),
        TensorSpec("pixels", "FP32", (-1, 3)),
    ),
    outputs=(TensorSpec("y", "FP64", (-1,)),),
)
NUMBERS = Signature((TensorSpec("x", "FP64", (-1, 2)),), (TensorSpec("y", "FP64", (-1,)),))
LABELS = Signature((TensorSpec("x", "FP64", (-1, 2)),), (TensorSpec("y", "BYTES", (-1,)),))


class Steps(BaseModel):
    """A step of ``height`` where the first column passes ``threshold``, on a slope, in ``dtype``."""

    signature = NUMBERS

    def __init__(self, threshold, dtype=np.float64, slope=0.0, height=1.0):
        self.threshold, self.dtype, self.slope, self.height = dtype(threshold), dtype, slope, height

    def predict(self, inputs):
        x = inputs["x"]
        step = x[:, 0].astype(self.dtype) > self.threshold
        return Batch({"y": step * self.height + x[:, 1] * self.slope})


class Sign(BaseModel):
    signature = LABELS

    def predict(self, inputs):
        return Batch({"y": np.where(inputs["x"].sum(axis=1) > 0, "a", "b").astype(object)})


@pytest.fixture
def generator():
    return np.random.default_rng(0)


def test_drawn_rows_fit_the_signature_and_have_gaps(generator):
    batch = drawn(MIXED, generator, 200)

    assert_fits(batch, MIXED.inputs)
    assert set(batch["plan"]) == {"basic", "pro"}
    assert 0 < np.isnan(batch["age"]).sum() < 100
    assert any(text is None for text in batch["note"])


def test_rows_like_an_example_keep_its_texts_and_move_its_numbers(generator):
    example = Batch({"age": np.array([20.0, 40.0]), "plan": np.array(["basic", "gold"], dtype=object)})
    batch = like(example, generator, 100)

    assert set(batch["plan"]) == {"basic", "gold"}
    assert {20.0, 40.0} < set(batch["age"])
    assert 0 < batch["age"].min() < 20 < 40 < batch["age"].max() < 120


def test_edges_are_single_rows_with_one_odd_value(generator):
    rows = list(edges(MIXED, drawn(MIXED, generator, 4)))

    assert all(row.rows == 1 for row in rows)
    assert any(np.isinf(row["age"][0]) for row in rows)
    assert any(row["note"][0] is None for row in rows)
    assert any(row["plan"][0] == "\x00 never seen" for row in rows)


def test_both_sides_of_a_step_are_found(generator):
    model = Steps(0.123456789)
    left, right = jumps(model, drawn(NUMBERS, generator, 64), generator)
    answers = [model.predict(side)["y"] for side in (left, right)]

    assert (answers[0] != answers[1]).all()
    assert (np.abs(left["x"][:, 0] - right["x"][:, 0]) < 1e-4).all()


def test_a_slope_has_no_jumps(generator):
    model = Steps(0.0, slope=3.0, height=0.0)

    assert list(jumps(model, drawn(NUMBERS, generator, 64), generator)) == []


def test_the_border_between_labels_is_not_approached_to_the_last_digit(generator):
    left, right = jumps(Sign(), drawn(LABELS, generator, 64), generator)
    sums = np.abs(np.concatenate([left["x"].sum(axis=1), right["x"].sum(axis=1)]))

    assert sums.min() > 1e-9
    assert np.median(sums) < 0.5


def test_a_model_that_refuses_what_lies_between_is_left_alone(generator):
    class Picky(Steps):
        def predict(self, inputs):
            if (np.abs(inputs["x"]) > 0.5).any():
                raise InvalidInput("That is too much.")
            return super().predict(inputs)

    assert list(jumps(Picky(0.1), drawn(NUMBERS, generator, 64), generator)) == []


@settings(max_examples=60, deadline=None)
@given(st.floats(-50, 50), st.integers(0, 2**32 - 1))
def test_a_split_that_float32_moves_is_found(threshold, seed):
    """Whatever the threshold: unless it is a float32 itself, the narrow form answers some row wrongly."""
    generator = np.random.default_rng(seed)
    ordinary = drawn(NUMBERS, generator, 256)
    x = ordinary["x"][:, 0]
    if not (x.min() < threshold < x.max()):
        return
    proof = Proof(Steps(threshold), Steps(threshold, np.float32), 1e-6, {})
    exact = Proof(Steps(threshold), Steps(threshold), 1e-6, {})
    batches = list(jumps(Steps(threshold), ordinary, generator))

    assert not any(map(exact.objection, batches))
    if abs(np.float32(threshold) - threshold) > abs(threshold) * 1e-8:
        assert any(map(proof.objection, batches))
