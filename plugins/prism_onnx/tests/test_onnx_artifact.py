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

from prism_core.plugin import Artifact, ArtifactError, Batch, Limits
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
    assert [one.location for one in external_data(weighty / "net.onnx")] == ["net.bin"]
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

    with pytest.raises(ArtifactError, match=r"'net\.bin' has 4 bytes; a tensor lies beyond them"):
        load(Artifact(weighty, "weighty"), OnnxOptions())


@pytest.mark.parametrize(
    ("offset", "length", "words"),
    [("6396", "8", "beyond"), ("99999999999", "4", "beyond"), ("-8", "4", "proper"), ("1e3", "4", "proper"),
     ("9" * 400, "4", "proper"), ("", "4", "proper")],
)  # fmt: skip
def test_a_tensor_lies_inside_of_its_file(weighty, offset, length, words):
    path = weighty / "net.onnx"
    model = onnx.load(path, load_external_data=False)
    kept = model.graph.initializer[0].external_data
    for entry in list(kept)[1:]:
        kept.remove(entry)
    for key, value in (("offset", offset), ("length", length)):
        kept.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())

    with pytest.raises(ArtifactError, match=words):
        model_file(Artifact(weighty, "weighty"))


@pytest.mark.parametrize("location", ["a\0b", "n" * 5000, "", ".", "net.bin/x"])
def test_external_data_that_no_file_is_called_is_missing(weighty, location):
    """A ValueError and an OSError once, which said nothing to the model's owner."""
    relocate(weighty, location)

    with pytest.raises(ArtifactError, match="is missing"):
        model_file(Artifact(weighty, "weighty"))


def test_the_first_of_two_locations_is_looked_at_as_well(weighty):
    path = weighty / "net.onnx"
    model = onnx.load(path, load_external_data=False)
    model.graph.initializer[0].external_data.add(key="location", value="../../hidden")
    path.write_bytes(model.SerializeToString())

    with pytest.raises(ArtifactError, match="outside of the model's directory"):
        model_file(Artifact(weighty, "weighty"))


def test_subgraphs_are_nested_as_deep_as_the_setting(weighty):
    """Written by hand: a graph in an attribute in a node in a graph ..., and the word that makes us look."""
    data = b"\x12\x08location"
    for at in range(12):
        data = (b"\x32", b"\x2a", b"\x0a")[at % 3] + bytes([len(data)]) + data
    path = weighty / "net.onnx"
    path.write_bytes(b"\x08\x08\x3a" + bytes([len(data)]) + data)

    assert external_data(path, 50) == ()
    with pytest.raises(ArtifactError, match="more than 5 messages deep"):
        model_file(Artifact(weighty, "weighty", Limits(max_depth=5)))


def test_fields_without_end_are_not_counted_to_their_end(tmp_path, monkeypatch):
    monkeypatch.setattr("prism_onnx.artifact._MAX_FIELDS", 1000)
    path = tmp_path / "net.onnx"
    graph = b"\x0a\x00" * 2000 + b"\x12\x08location"
    path.write_bytes(b"\x08\x08\x3a" + b"\xaa\x1f" + graph)

    with pytest.raises(ArtifactError, match="more than 1000 fields"):
        external_data(path)


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

    assert [one.location for one in external_data(artifact.path)] == ["../../hidden"]


def test_of_several_models_the_one_called_model_is_served(weighty, doubling):
    (weighty / "model.onnx").write_bytes(doubling.path.read_bytes())

    assert model_file(Artifact(weighty, "weighty")).name == "model.onnx"


def test_several_models_of_other_names_are_an_error(weighty, doubling):
    (weighty / "other.onnx").write_bytes(doubling.path.read_bytes())

    with pytest.raises(ArtifactError, match=r"it holds net.onnx, other.onnx"):
        model_file(Artifact(weighty, "weighty"))
