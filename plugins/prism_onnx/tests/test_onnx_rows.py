"""When requests may be joined: never where that would change an answer."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from prism_core.plugin import ArtifactError, Batch
from prism_onnx import OnnxOptions


def tensor(name, shape, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


X, Y = tensor("x", ["N", 4]), tensor("y", ["N", 4])


def node(operator, **attributes):
    return helper.make_node(operator, ["x"], ["y"], **attributes)


def test_rows_that_mind_their_own_business_are_joined(serve):
    model = serve([node("Softmax", axis=1)], [X], [Y])

    assert model.signature.batch_axis
    assert model.signature.inputs[0].shape == (-1, 4)
    assert model.warnings == ()


@pytest.mark.parametrize("symbols", [("N", "N"), (None, None), ("batch", None), ("unk__6", "unk__7")])
def test_axes_without_names_may_be_rows(serve, symbols):
    one, other = symbols

    model = serve([node("Relu")], [tensor("x", [one, 4])], [tensor("y", [other, 4])])

    assert model.signature.batch_axis


def quantised():
    return [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"]),
    ]


def root_of_negative():
    minus = helper.make_node("Constant", [], ["minus"], value_float=-1.0)
    square = helper.make_node("Mul", ["x", "x"], ["square"])
    return [
        minus,
        square,
        helper.make_node("Mul", ["square", "minus"], ["n"]),
        helper.make_node("Sqrt", ["n"], ["y"]),
    ]


@pytest.mark.parametrize(
    ("nodes", "objection"),
    [
        ([node("Softmax", axis=0)], "a row's answer depends on the other rows"),
        ([node("LpNormalization", axis=0)], "a row's answer depends on the other rows"),
        (quantised(), "a row's answer depends on the other rows"),
        (root_of_negative(), "the trial inputs led to no numbers"),
    ],
    ids=["softmax", "norm", "dynamic quantisation", "no numbers"],
)
def test_rows_that_affect_each_other_are_not_joined(serve, nodes, objection):
    model = serve(nodes, [X], [Y])

    assert not model.signature.batch_axis
    assert objection in model.warnings[0]


@pytest.mark.parametrize("shape", [[None, 2], [1, 2]], ids=["free", "fixed"])
def test_random_answers_are_neither_joined_nor_kept(serve, shape):
    model = serve([node("RandomNormalLike")], [tensor("x", shape)], [tensor("y", shape)])

    assert not model.signature.batch_axis
    assert not model.signature.deterministic


def test_random_answers_are_not_kept_where_the_owner_joins_requests(serve):
    model = serve([node("RandomNormalLike")], [X], [Y], options=OnnxOptions(batch="true"))

    assert model.signature.batch_axis
    assert not model.signature.deterministic


def test_equal_answers_are_kept(serve):
    assert serve([node("Relu")], [X], [Y]).signature.deterministic


def test_answers_without_a_row_for_each_row_are_not_joined(serve):
    model = serve(
        [helper.make_node("Reshape", ["x", "flat"], ["y"])],
        [X],
        [tensor("y", [None])],
        {"flat": np.array([-1])},
    )

    assert not model.signature.batch_axis
    assert "not every output has a row" in model.warnings[0]


def test_time_is_not_rows(serve):
    """A recurrent net with a free first axis of time."""
    weights = {name: np.full(shape, 0.5, np.float32) for name, shape in (("w", (1, 2, 3)), ("r", (1, 2, 2)))}
    model = serve(
        [helper.make_node("RNN", ["x", "w", "r"], ["y"], hidden_size=2)],
        [tensor("x", ["T", 1, 3])],
        [tensor("y", ["T", 1, 1, 2])],
        weights,
    )

    assert not model.signature.batch_axis


@pytest.mark.parametrize(
    ("inputs", "output"),
    [
        ([tensor("x", [1, 4])], tensor("y", [1, 4])),
        ([tensor("x", [])], tensor("y", [])),
        ([tensor("x", ["N", 4])], tensor("y", ["M", 4])),
    ],
    ids=["fixed", "scalar", "other names"],
)
def test_a_first_axis_that_is_not_free_is_not_rows(serve, inputs, output):
    assert not serve([node("Relu")], inputs, [output]).signature.batch_axis


def test_a_scalar_beside_rows_keeps_requests_apart(serve):
    model = serve([helper.make_node("Mul", ["x", "factor"], ["y"])], [X, tensor("factor", [])], [Y])

    assert not model.signature.batch_axis
    answer = model.predict(Batch({"x": np.ones((2, 4), np.float32), "factor": np.float32(3)}))["y"]
    assert answer.tolist() == [[3] * 4] * 2


def test_a_constant_that_could_be_overridden_is_not_an_input(serve):
    model = serve(
        [helper.make_node("Mul", ["x", "factor"], ["y"])],
        [X, tensor("factor", [])],
        [Y],
        {"factor": np.float32(2)},
    )

    assert [spec.name for spec in model.signature.inputs] == ["x"]
    assert model.signature.batch_axis


def test_options_have_the_last_word(serve):
    softmax = [node("Softmax", axis=0)], [X], [Y]

    assert serve(*softmax, options=OnnxOptions(batch=True)).signature.batch_axis
    assert serve(*softmax, options=OnnxOptions(batch="true")).warnings == ()
    assert not serve([node("Relu")], [X], [Y], options=OnnxOptions(batch=False)).signature.batch_axis


def test_a_fixed_axis_cannot_be_made_free(serve):
    fixed = [tensor("x", [1, 4])], [tensor("y", [1, 4])]

    with pytest.raises(ArtifactError, match="free first axis; 'x' is"):
        serve([node("Relu")], *fixed, options=OnnxOptions(batch=True))


def test_free_image_sizes_are_tried_until_the_net_accepts_one(serve):
    model = serve(
        [
            helper.make_node("Conv", ["x", "w"], ["c"]),
            helper.make_node("GlobalAveragePool", ["c"], ["y"]),
        ],
        [tensor("x", ["N", 3, "H", "W"])],
        [tensor("y", ["N", 2, 1, 1])],
        {"w": np.ones((2, 3, 7, 7), np.float32)},
    )

    assert model.signature.batch_axis
    assert model.example().tensors["x"].shape == (1, 3, 32, 32)


def test_an_example_is_found_for_free_axes_of_a_model_without_rows(serve):
    model = serve(
        [helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[5, 5])],
        [tensor("x", [1, 1, "H", "W"])],
        [tensor("y", [1, 1, None, None])],
    )

    assert not model.signature.batch_axis
    assert model.example().tensors["x"].shape == (1, 1, 32, 32)


def test_several_columns_make_records(serve):
    model = serve(
        [helper.make_node("Add", ["tenure", "price"], ["y"])],
        [tensor("tenure", [None, 1]), tensor("price", [None, 1])],
        [tensor("y", [None, 1])],
    )

    assert model.signature.columnar


def test_tokens_are_whole_numbers_within_the_table(serve):
    model = serve(
        [helper.make_node("Gather", ["table", "ids"], ["y"])],
        [tensor("ids", ["batch", "length"], TensorProto.INT64)],
        [tensor("y", ["batch", "length", 2])],
        {"table": np.arange(10, dtype=np.float32).reshape(5, 2)},
    )

    assert model.signature.batch_axis
    assert not model.signature.columnar
