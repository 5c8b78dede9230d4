"""What every loader promises, for a file and for a directory with external data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

import prism_onnx
from prism_core.plugin import Batch
from prism_core.testing import LoaderContract

ROWS = np.array([[1, 2, 3], [4, -5, 6]], np.float32)
WEIGHTS = np.arange(6, dtype=np.float32).reshape(3, 2)


def dense() -> Any:
    """Return the model ``y = x @ WEIGHTS``."""
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "dense",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2])],
        [onnx.numpy_helper.from_array(WEIGHTS, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


class TestFile(LoaderContract):
    plugin = prism_onnx

    def artifact(self, directory: Path) -> Path:
        onnx.save(dense(), directory / "dense.onnx")
        return directory / "dense.onnx"

    def inputs(self) -> Batch:
        return Batch({"x": ROWS})

    def expected(self) -> Mapping[str, Any]:
        return {"y": ROWS @ WEIGHTS}


class TestDirectory(TestFile):
    def artifact(self, directory: Path) -> Path:
        path = directory / "dense"
        path.mkdir()
        onnx.save(
            dense(), path / "dense.onnx", save_as_external_data=True, location="w.bin", size_threshold=0
        )
        return path
