"""What a model answered, as people read it."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_core.rest.pages.answers import BARS, Answer, Bar, answer_of, wanted
from prism_core.rest.pages.trying import query_of
from prism_core.types import Signature, TensorSpec

INPUTS = (TensorSpec("x", "FP64", (-1,)),)
PREDICTIONS = TensorSpec("predictions", "BYTES", (-1,))
CHURN = Signature(
    INPUTS,
    (PREDICTIONS, TensorSpec("probabilities", "FP64", (-1, 2)), TensorSpec("decision", "FP64", (-1,))),
    default_outputs=("predictions",),
    classes=("goes", "stays"),
)
PLAIN = Signature(INPUTS, (PREDICTIONS,))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=12,
)


def test_probabilities_are_asked_for_and_nothing_else():
    assert wanted(CHURN) == ("predictions", "probabilities")
    assert query_of(CHURN) == "?outputs=predictions%2Cprobabilities"
    assert query_of(PLAIN) == ""


def test_a_name_that_cannot_be_asked_for_is_not():
    outputs = (TensorSpec("a,b", "FP64", (-1,)), TensorSpec("probabilities", "FP64", (-1, 2)))

    assert query_of(Signature(INPUTS, outputs, default_outputs=("a,b",))) == ""


def test_the_likeliest_class_stands_first():
    document = {"predictions": ["goes"], "probabilities": [[0.25, 0.75]], "classes": ["goes", "stays"]}

    assert answer_of(document, CHURN) == Answer("goes", bars=(Bar("stays", 0.75), Bar("goes", 0.25)))


def test_a_map_of_classes_is_bars_too():
    """As converters of scikit-learn to ONNX write probabilities."""
    document = {"predictions": [1], "output_probability": [{"0": 0.1, "1": 0.9}]}

    assert [bar.label for bar in answer_of(document, PLAIN).bars] == ["1", "0"]


def test_what_are_no_probabilities_are_no_bars():
    document = {"predictions": ["goes"], "decision": [[-3.0, 4.0]]}

    answer = answer_of(document, CHURN)

    assert (answer.bars, answer.others) == ((), (("decision", "[-3.0, 4.0]"),))


def test_many_classes_are_folded():
    count = BARS + 5
    many = Signature(
        INPUTS, (PREDICTIONS, TensorSpec("probabilities", "FP64", (-1, count))), classes=tuple(range(count))
    )

    answer = answer_of({"predictions": [3], "probabilities": [[1 / count] * count]}, many)

    assert (len(answer.bars), len(answer.more)) == (BARS, 5)


@pytest.mark.parametrize(
    ("value", "text", "whole"),
    [
        (3, "3", ""),
        (0.1, "0.1", ""),
        (1234.56789, "1234.57", "1234.56789"),
        ([2.5], "2.5", ""),
        ([1, 2], "[1, 2]", ""),
        (True, "yes", ""),
        (None, "none", ""),
        ("<b>", "<b>", ""),
    ],
)
def test_a_prediction_is_short_and_has_all_its_digits(value, text, whole):
    answer = answer_of({"predictions": [value]}, PLAIN)

    assert (answer.text, answer.whole) == (text, whole)


@pytest.mark.parametrize(
    ("share", "percent"),
    [(0.0, "0.0 %"), (1e-5, "< 0.1 %"), (0.5, "50.0 %"), (0.9995, "> 99.9 %"), (1.0, "100.0 %")],
)
def test_the_nearly_certain_is_not_the_certain(share, percent):
    assert Bar("a", share).percent == percent


@given(JSON)
def test_any_answer_can_be_shown(document):
    """The model's process made it; the gateway must not fail on it."""
    for signature in (CHURN, PLAIN):
        answer = answer_of(msgspec.json.decode(msgspec.json.encode(document)), signature)

        assert isinstance(answer.text, str)
        assert all(0 <= bar.share <= 1 for bar in answer.bars)


@given(st.fixed_dictionaries({"predictions": JSON, "probabilities": JSON, "outputs": JSON, "warnings": JSON}))
def test_any_outputs_can_be_shown(document):
    answer = answer_of(document, CHURN)

    assert all(isinstance(text, str) for pair in answer.others for text in pair)
