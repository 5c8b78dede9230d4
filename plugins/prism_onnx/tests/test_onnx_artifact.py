"""Which files are taken, and what they may refer to."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from prism_core.plugin import Artifact, ArtifactError, Batch
from prism_onnx import OnnxOptions
from prism_onnx.artifact import external_data, is_model, model_file, recognises
from prism_onnx.model import load


def tensor(name, shape, kind=onnx.TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


@pytest.fixture
def weighty(save, tmp_path):
    """Return a directory with a model whose weights lie beside it."""
    artifact = save(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [tensor("x", ["N", 4])],
        [tensor("y", ["N", 400])],
        {"w": np.ones((4, 400), np.float32)},
    )
    directory = tmp_path / "weighty"
    directory.mkdir()
    model = onnx.load(artifact.path)
    onnx.save(model, directory / "net.onnx", save_as_external_data=True, location="net.bin", size_threshold=0)
    return directory


def relocate(directory: Path, location: str) -> None:
    """Let the model's weights lie at ``location``."""
    path = directory / "net.onnx"
    model = onnx.load(path, load_external_data=False)
    model.graph.initializer[0].external_data[0].value = location
    path.write_bytes(model.SerializeToString())


def test_a_model_is_recognised_by_content_whatever_its_name(doubling):
    assert recognises(Artifact(doubling.path, "something.bin")) == 1.0


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x08",
        b"\x08\x0a",
        pickle.dumps({"a": 1}),
        b"\x89PNG\r\n",
        b"PK\x03\x04",
        b"{}",
        b"\x08\x01" * 50,
    ],
    ids=["empty", "one byte", "no graph", "pickle", "png", "zip", "json", "no graph but numbers"],
)
def test_other_files_are_not(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content)

    assert recognises(Artifact(path, "file.pkl")) == 0.0
    assert recognises(Artifact(path, "file.onnx")) == 0.1


@given(content=st.binary(max_size=300))
def test_no_content_is_too_odd_to_be_looked_at(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("odd") / "file"
    path.write_bytes(b"\x08" + content)

    assert is_model(path) in (True, False)


def test_half_a_model_is_not_one(doubling):
    content = doubling.path.read_bytes()
    doubling.path.write_bytes(content[: len(content) // 2])

    assert recognises(Artifact(doubling.path, "model.bin")) == 0.0
    with pytest.raises(ArtifactError, match="not a whole ONNX model"):
        model_file(doubling)


def test_a_directory_with_external_data_is_served(weighty):
    artifact = Artifact(weighty, "weighty")

    model = load(artifact, OnnxOptions())

    assert recognises(artifact) == 1.0
    assert external_data(weighty / "net.onnx") == ("net.bin",)
    answer = model.predict(Batch({"x": np.ones((1, 4), np.float32)}))["y"]
    assert np.array_equal(answer, np.full((1, 400), 4, np.float32))


def test_a_file_without_its_external_data_asks_for_the_directory(weighty):
    with pytest.raises(ArtifactError, match=r"weights in another file, 'net.bin'") as caught:
        model_file(Artifact(weighty / "net.onnx", "net.onnx"))

    assert "prism upload DIRECTORY" in caught.value.hint


def test_missing_external_data_is_named(weighty):
    (weighty / "net.bin").unlink()

    with pytest.raises(ArtifactError, match=r"'net.bin' is missing"):
        model_file(Artifact(weighty, "weighty"))


def test_external_data_that_is_too_short_is_named(weighty):
    (weighty / "net.bin").write_bytes(b"1234")

    with pytest.raises(ArtifactError, match="'w' is missing, or shorter"):
        load(Artifact(weighty, "weighty"), OnnxOptions())


@pytest.mark.parametrize("location", ["../net.bin", "/etc/hostname", "a/../../b", "*/_ORT_MEM_ADDR_/*"])
def test_external_data_may_not_leave_the_directory(weighty, location):
    relocate(weighty, location)

    with pytest.raises(ArtifactError, match="outside of the model's directory"):
        model_file(Artifact(weighty, "weighty"))


def test_a_link_out_of_the_directory_is_no_way_out(weighty, tmp_path):
    (weighty / "net.bin").rename(tmp_path / "elsewhere.bin")
    (weighty / "net.bin").symlink_to(tmp_path / "elsewhere.bin")

    with pytest.raises(ArtifactError, match="outside of the model's directory"):
        model_file(Artifact(weighty, "weighty"))


def test_external_data_is_found_inside_of_subgraphs(weighty, save):
    weight = onnx.load(weighty / "net.onnx", load_external_data=False).graph.initializer[0]
    weight.external_data[0].value = "../../hidden"
    inner = helper.make_graph(
        [helper.make_node("Identity", ["w"], ["z"])], "inner", [], [tensor("z", [4, 400])], [weight]
    )
    branch = helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)
    artifact = save([branch], [tensor("c", [], onnx.TensorProto.BOOL)], [tensor("y", [4, 400])])

    assert external_data(artifact.path) == ("../../hidden",)


def test_of_several_models_the_one_called_model_is_served(weighty, doubling):
    (weighty / "model.onnx").write_bytes(doubling.path.read_bytes())

    assert model_file(Artifact(weighty, "weighty")).name == "model.onnx"


def test_several_models_of_other_names_are_an_error(weighty, doubling):
    (weighty / "other.onnx").write_bytes(doubling.path.read_bytes())

    with pytest.raises(ArtifactError, match=r"it holds net.onnx, other.onnx"):
        model_file(Artifact(weighty, "weighty"))
