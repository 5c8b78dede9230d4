import json

import numpy as np
import pytest

from prism_core.plugin import ModelFailed


def test_the_primary_output_is_called_predictions(write):
    body = write({"label": np.array([1, 2]), "score": np.array([0.5, 0.25])}, primary="label")

    assert json.loads(body) == {"model": "churn", "version": 3, "predictions": [1, 2], "score": [0.5, 0.25]}


def test_probabilities_come_with_their_classes(write):
    outputs = {"predictions": np.array(["no"], object), "probabilities": np.array([[0.75, 0.25]])}

    assert json.loads(write(outputs, classes=("no", "yes")))["classes"] == ["no", "yes"]


def test_probabilities_by_another_name_come_with_their_classes_too(write):
    """Converters call them `output_probability`, for instance."""
    outputs = {"predictions": np.array(["no"], object), "output_probability": np.array([[0.75, 0.25]])}

    assert json.loads(write(outputs, classes=("no", "yes")))["classes"] == ["no", "yes"]


def test_numbers_that_are_not_one_a_class_come_without_classes(write):
    outputs = {"predictions": np.array(["no", "no"], object), "score": np.array([0.75, 0.25])}

    assert "classes" not in json.loads(write(outputs, classes=("no", "yes")))


def test_the_v1_style_is_predictions_alone(write):
    assert write({"label": np.array([1])}, style="v1") == b'{"predictions":[1]}'


def test_single_floats_have_their_own_shortest_digits(write):
    assert b'"predictions":[0.1]' in write({"y": np.array([0.1], dtype=np.float32)})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.array([2**53 + 1, -(2**63)]), [2**53 + 1, -(2**63)]),
        (np.array([2**64 - 1], dtype=np.uint64), [2**64 - 1]),
        (np.array([0.5], dtype=np.float16), [0.5]),
        (np.array([True, False]), [True, False]),
        (np.array(["a", None], dtype=object), ["a", None]),
        (np.array(["a", "é"]), ["a", "é"]),
        (np.arange(6.0).reshape(2, 3)[:, ::2], [[0, 2], [3, 5]]),
        (np.arange(2, dtype=">i4"), [0, 1]),
        (np.array(3.5), 3.5),
        (np.zeros((0, 2)), []),
        ([{0: 0.25, 1: 0.75}], [{"0": 0.25, "1": 0.75}]),
        ([{"a": np.float32(0.5)}], [{"a": 0.5}]),
        ([np.array([1, 2]), np.array([3])], [[1, 2], [3]]),
        (np.array([np.int64(3), "x", 0.5], dtype=object), [3, "x", 0.5]),
        (np.array([b"\x00"], dtype=object), ["AA=="]),
    ],
)
def test_outputs_of_every_kind(write, value, expected):
    assert json.loads(write({"y": value}))["predictions"] == expected


@pytest.mark.parametrize(
    "value",
    [
        np.array([np.nan, 1, np.inf]),
        np.array([np.nan, 1, -np.inf], dtype=np.float16),
        [float("nan"), 1, float("inf")],
        np.array([float("nan"), 1, float("inf")], dtype=object),
    ],
)
def test_nan_and_infinity_are_null_and_said_so(write, value):
    answer = json.loads(write({"y": value}))

    assert answer["predictions"] == [None, 1, None]
    assert answer["warnings"] == ["NaN or Infinity in 'y' was written as null."]


def test_the_word_null_in_a_text_is_no_warning(write):
    assert "warnings" not in json.loads(write({"y": np.array(["null", None], dtype=object)}))


def test_an_output_cannot_pretend_to_be_the_model(write):
    answer = json.loads(write({"y": np.array([1]), "model": np.array([2]), "predictions": np.array([3])}))

    assert (answer["model"], answer["predictions"]) == ("churn", [1])
    assert answer["outputs"] == {"model": [2], "predictions": [3]}


def test_what_json_cannot_hold_is_the_models_failure(write):
    with pytest.raises(ModelFailed, match="JSON"):
        write({"y": [object()]})
