"""Plausible ranges of a graph's inputs: from a scaler or from trees that get them as they are."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import skl2onnx
from onnx import TensorProto, helper
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, OneHotEncoder, StandardScaler

import prism_onnx.ranges
from prism_core.plugin import Artifact, TensorSpec
from prism_onnx import OnnxOptions
from prism_onnx.model import load

X = np.random.default_rng(2).uniform([0, 10], [1, 50], size=(200, 2)).astype(np.float32)
Y = X[:, 0] * 40 + X[:, 1] > 50


@pytest.fixture
def converted(tmp_path):
    """Convert an estimator and load the graph."""

    def build(estimator, types=None):
        made = skl2onnx.to_onnx(
            estimator, None if types else X, initial_types=types, options={"zipmap": False}, target_opset=17
        )
        path = tmp_path / "model.onnx"
        path.write_bytes(made.SerializeToString())
        return load(Artifact(path, "model.onnx"), OnnxOptions())

    return build


def test_a_scaler_tells_three_deviations(converted):
    (spec,) = converted(make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y)).signature.inputs
    centre, deviation = X.mean(axis=0), X.std(axis=0)

    assert np.array(spec.ranges) == pytest.approx(
        np.stack([centre - 3 * deviation, centre + 3 * deviation], axis=1), rel=1e-2
    )


def test_trees_tell_their_outermost_thresholds(converted):
    (spec,) = converted(RandomForestClassifier(10, random_state=0).fit(X, Y)).signature.inputs

    for (low, high), column in zip(spec.ranges, X.T, strict=True):
        assert column.min() <= low < high <= column.max()
        assert high - low > (column.max() - column.min()) / 3


def test_columns_that_are_joined_first_keep_their_own(converted):
    table = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "plan": np.where(Y, "basic", "plus")})
    columns = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), ["a", "b"]), (OneHotEncoder(), ["plan"])
    )
    types = [(n, FloatTensorType([None, 1])) for n in "ab"] + [("plan", StringTensorType([None, 1]))]
    model = converted(make_pipeline(columns, LogisticRegression()).fit(table, Y), types)
    found = {spec.name: spec.range_of() for spec in model.signature.inputs}

    assert found["plan"] is None
    centre, deviation = X[:, 0].mean(), X[:, 0].std()
    assert found["a"] == pytest.approx((centre - 3 * deviation, centre + 3 * deviation), rel=1e-2)
    assert found["b"][0] < 10 < 50 < found["b"][1]


def test_numbers_that_are_changed_before_tell_nothing(converted):
    (spec,) = converted(make_pipeline(Normalizer(), RandomForestClassifier(3)).fit(X, Y)).signature.inputs

    assert spec.ranges == ()


@pytest.mark.parametrize(
    ("attributes", "ranges"),
    [
        ({"offset": [1.0, 2.0], "scale": [1.0, 0.0]}, ((-2.0, 4.0), None)),
        ({"offset": [1.0, 2.0], "scale": [-0.5]}, ((-5.0, 7.0), (-4.0, 8.0))),
        ({"offset": [1.0, 2.0], "scale": [float("nan"), float("inf")]}, ()),
        ({"offset": [1.0, 2.0], "scale": [1.0, 1.0, 1.0]}, ()),
        ({"offset": [1.0, 2.0]}, ()),
        ({}, ()),
    ],
)
def test_odd_scalers_tell_what_can_be_told(save, attributes, ranges):
    artifact = save(
        [helper.make_node("Scaler", ["x"], ["y"], domain="ai.onnx.ml", **attributes)],
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2])],
        domains=("ai.onnx.ml",),
    )
    (spec,) = prism_onnx.ranges.with_ranges([TensorSpec("x", "FP32", (-1, 2))], artifact.path)

    assert spec.ranges == ranges


@pytest.mark.parametrize("cut", [1, 40, 90])
def test_a_damaged_file_is_no_error_here(doubling, cut):
    doubling.path.write_bytes(doubling.path.read_bytes()[:-cut])
    specs = [TensorSpec("x", "FP32", (-1, 4))]

    assert prism_onnx.ranges.with_ranges(specs, doubling.path) == tuple(specs)
