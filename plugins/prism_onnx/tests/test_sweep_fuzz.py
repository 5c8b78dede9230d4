"""Damaged ONNX files: looked at, or refused, before any framework sees them."""

from contextlib import suppress

import numpy as np
import onnx
import pytest
from onnx import helper

from prism_core.plugin import Artifact, ArtifactError
from prism_core.testing.fuzzing import fuzz
from prism_onnx.artifact import class_labels, declared_shape, is_model, model_file, recognises
from prism_onnx.protobuf import MalformedProtobuf

pytestmark = pytest.mark.sweep

TOKENS = [b"\x3a", b"\x0a\x00", b"\x6a\x08", b"location", b"\x0a\x08location\x12\x02..", b"\xff" * 9]


def models():
    value = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", 2])
    labels = helper.make_node("ZipMap", ["x"], ["y"], domain="ai.onnx.ml", classlabels_strings=["a", "b"])
    weights = onnx.numpy_helper.from_array(np.ones((2, 2), np.float32), "w")
    inner = helper.make_graph([helper.make_node("Identity", ["w"], ["z"])], "g", [], [value], [weights])
    branch = helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)
    for node in (labels, branch):
        yield helper.make_model(helper.make_graph([node], "g", [value], [value], [weights]))


def seeds():
    for model in models():
        yield model.SerializeToString()
        kept = model.graph.initializer[0]
        kept.ClearField("raw_data")
        for key, text in (("location", "weights.bin"), ("offset", "0"), ("length", "16")):
            kept.external_data.add(key=key, value=text)
        kept.data_location = onnx.TensorProto.EXTERNAL
        yield model.SerializeToString()


def test_a_damaged_model_is_looked_at_or_refused(tmp_path):
    directory = tmp_path / "model"
    directory.mkdir()
    (directory / "weights.bin").write_bytes(bytes(16))
    path = directory / "model.onnx"
    looked = []

    def look(data):
        path.write_bytes(data)
        artifact = Artifact(directory, "model")
        assert recognises(artifact) in (0.0, 1.0)
        assert model_file(artifact) == path
        looked.append(1)
        with suppress(MalformedProtobuf):  # onnxruntime would have refused it before these are asked
            class_labels(path, "y")
            declared_shape(path, "x")

    report = fuzz(look, list(seeds()), cases=5000, allowed=(ArtifactError,), tokens=TOKENS)

    assert looked
    assert report.refused


def test_any_bytes_are_a_model_or_none(tmp_path):
    path = tmp_path / "file"

    def look(data):
        path.write_bytes(b"\x08" + data)
        assert is_model(path) in (True, False)

    fuzz(look, [b"\x08\x3a\x02\x0a\x00", b"\x08\x12\x01a"], cases=3000, allowed=(), tokens=TOKENS)
