"""Each way in which a model does not load has its own words and its own next step."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from prism_core.plugin import Artifact, ArtifactError, Batch, InvalidInput, ModelLoadFailed
from prism_onnx import OnnxOptions
from prism_onnx.faults import useful
from prism_onnx.model import load


def tensor(name, shape, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


X, Y = tensor("x", ["N", 4]), tensor("y", ["N", 4])
RELU = helper.make_node("Relu", ["x"], ["y"])


@pytest.mark.parametrize(
    ("nodes", "more", "message", "hint"),
    [
        ([RELU], {"opset": 99}, r"needs opset 99 of ai.onnx; .* up to \d\d\.", "target_opset="),
        ([RELU], {"ir_version": 99}, r"IR version 99; .* reads up to \d\d\.", "model.ir_version = "),
        ([helper.make_node("Foo", ["x"], ["y"])], {}, "operator 'Foo', which opset 17", "spelled"),
        (
            [helper.make_node("Foo", ["x"], ["y"], domain="mine")],
            {"domains": ("mine",)},
            "custom operator 'mine:Foo'",
            "standard operators",
        ),
        (
            [helper.make_node("Relu", ["q"], ["y"])],
            {},
            "refused the model: Invalid model. Node input 'q'",
            "",
        ),
    ],
    ids=["opset", "ir version", "operator", "custom operator", "graph"],
)
def test_a_model_that_does_not_load_says_why(save, nodes, more, message, hint):
    with pytest.raises(ModelLoadFailed, match=message) as caught:
        load(save(nodes, [X], [Y], **more), OnnxOptions())

    assert hint in caught.value.hint
    assert "/" not in caught.value.message.replace("inputs/outputs", "")


def test_a_missing_kernel_is_named(save):
    artifact = save(
        [helper.make_node("Det", ["x"], ["y"])],
        [tensor("x", [2, 2], TensorProto.DOUBLE)],
        [tensor("y", [], TensorProto.DOUBLE)],
        opset=22,
    )

    with pytest.raises(ModelLoadFailed, match="cannot compute the operator 'Det'"):
        load(artifact, OnnxOptions())


def test_a_corrupt_file_is_called_so(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"hello world" * 10)

    with pytest.raises(ArtifactError, match=r"'mine.onnx' is not a whole ONNX model"):
        load(Artifact(path, "mine.onnx"), OnnxOptions())


def test_a_corrupt_graph_inside_of_a_whole_file_is_called_so(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"\x08\x08" + b"\x3a\x04\xff\xff\xff\xff")

    with pytest.raises(ArtifactError):
        load(Artifact(path, "mine.onnx"), OnnxOptions())


def test_an_unknown_provider_lists_those_that_there_are(doubling):
    with pytest.raises(ModelLoadFailed, match=r"no execution provider 'warp'.*CPUExecutionProvider"):
        load(doubling, OnnxOptions(providers="warp, cpu"))


@pytest.mark.parametrize("providers", ["", "cpu", "CPUExecutionProvider", ["CPU"]])
def test_providers_go_by_short_and_long_names(doubling, providers):
    assert load(doubling, OnnxOptions(providers=providers)).signature.inputs[0].name == "x"


def test_a_value_that_the_graph_refuses_is_the_callers_fault(serve):
    model = serve(
        [helper.make_node("Gather", ["table", "i"], ["y"])],
        [tensor("i", ["N"], TensorProto.INT64)],
        [tensor("y", ["N"])],
        {"table": np.ones(3, np.float32)},
    )

    with pytest.raises(InvalidInput, match="operator Gather: indices element out of data bounds, idx=7"):
        model.predict(Batch({"i": np.array([7])}))


def test_neither_source_lines_nor_paths_are_useful():
    said = (
        "[ONNXRuntimeError] : 1 : FAIL : /src/core/model.cc:256 ort::Model::Model(onnx::ModelProto&&, "
        "const std::function<int(int)>&) const [with T = float] Cannot open /home/ada/models/net.onnx now\n"
    )

    assert useful(said) == "Cannot open (path) now"
