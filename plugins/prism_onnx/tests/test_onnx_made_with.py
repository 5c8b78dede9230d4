"""Which onnxruntime a model asks for."""

from __future__ import annotations

import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper
from packaging.specifiers import SpecifierSet

from prism_core.plugin import Artifact
from prism_onnx import prism_loaders
from prism_onnx.made_with import RELEASES, requirements


@pytest.fixture
def stamped(tmp_path):
    """Return a model of one operator with these versions."""

    def make(opset: int = 17, learning: int = 0, ir: int = 8) -> Artifact:
        x, y = (helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", 2]) for name in "xy")
        domain = {"domain": "ai.onnx.ml", "offset": [0.0, 0.0], "scale": [1.0, 1.0]} if learning else {}
        node = helper.make_node("Scaler" if learning else "Identity", ["x"], ["y"], **domain)
        imports = [helper.make_opsetid("", opset)]
        imports += [helper.make_opsetid("ai.onnx.ml", learning)] if learning else []
        graph = helper.make_graph([node], "graph", [x], [y])
        path = tmp_path / "model.onnx"
        path.write_bytes(helper.make_model(graph, opset_imports=imports, ir_version=ir).SerializeToString())
        return Artifact(path, path.name)

    return make


def opens(artifact: Artifact) -> bool:
    try:
        onnxruntime.InferenceSession(artifact.path, providers=["CPUExecutionProvider"])
    except Exception:  # onnxruntime has its own
        return False
    return True


@pytest.mark.parametrize(
    ("versions", "asks"),
    [
        ({}, "onnxruntime"),
        ({"opset": 9}, "onnxruntime"),
        ({"opset": 20}, "onnxruntime>=1.17"),
        ({"opset": 24}, "onnxruntime>=1.24"),
        ({"learning": 3}, "onnxruntime"),
        ({"learning": 5}, "onnxruntime>=1.18"),
        ({"ir": 11}, "onnxruntime>=1.23"),
        ({"opset": 21, "learning": 4, "ir": 13}, "onnxruntime>=1.24"),
    ],
)
def test_the_newest_of_all_versions_decides(stamped, versions, asks):
    (found,) = requirements(stamped(**versions))

    assert found.pep508 == asks
    assert found.strict


def test_the_reason_tells_the_versions(stamped):
    (found,) = requirements(stamped(21, 4, 10))

    assert found.reason == "it is of IR version 10 and operator set 21, and set 4 of ai.onnx.ml"


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.release or "any")
def test_what_a_release_is_said_to_open_the_installed_one_opens(stamped, release):
    artifact = stamped(release.opset, release.learning, release.ir)
    (found,) = requirements(artifact)

    assert found.specifier == release.release
    assert onnxruntime.__version__ in SpecifierSet(found.specifier)
    assert opens(artifact)


def test_what_no_release_opens_is_said_to_be_unknown(stamped):
    artifact = stamped(RELEASES[-1].opset + 1)
    (found,) = requirements(artifact)

    assert not opens(artifact)
    assert found.specifier == RELEASES[-1].release
    assert found.reason.endswith("of which no release is known here")


def test_a_directory_asks_for_what_its_model_does(stamped, tmp_path):
    stamped(22)

    assert [one.pep508 for one in requirements(Artifact(tmp_path, "net"))] == ["onnxruntime>=1.21"]


def test_the_loader_offers_it(stamped):
    (loader,) = prism_loaders()

    assert list(loader.requirements(stamped()))


@given(st.data())
def test_damaged_files_ask_for_a_known_range_or_for_nothing(tmp_path_factory, data):
    model = helper.make_model(helper.make_graph([], "graph", [], []), ir_version=8)
    whole = model.SerializeToString()
    at = data.draw(st.integers(0, len(whole) - 1))
    path = tmp_path_factory.getbasetemp() / "damaged.onnx"
    path.write_bytes(
        whole[:at] + data.draw(st.binary(max_size=12)) + whole[at + data.draw(st.integers(0, 8)) :]
    )

    for one in requirements(Artifact(path, "model.onnx")):
        assert one.specifier in {release.release for release in RELEASES}
        assert len(one.reason) < 200
