"""Small ONNX models, built as they are needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from prism_core.plugin import Artifact, BaseModel
from prism_onnx import OnnxOptions
from prism_onnx.model import load

Save = Callable[..., Artifact]
Load = Callable[..., BaseModel]


def tensor(name: str, shape: Sequence[Any] | None, kind: int = TensorProto.FLOAT) -> Any:
    """Return a graph input or output."""
    return helper.make_tensor_value_info(name, kind, shape)


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Write a graph as ``model.onnx`` and return it as an artifact."""

    def write(
        nodes: list[Any],
        inputs: list[Any],
        outputs: list[Any],
        constants: dict[str, Any] | None = None,
        *,
        opset: int = 17,
        ir_version: int = 10,
        domains: tuple[str, ...] = (),
    ) -> Artifact:
        initializers = [onnx.numpy_helper.from_array(np.asarray(v), k) for k, v in (constants or {}).items()]
        graph = helper.make_graph(nodes, "graph", inputs, outputs, initializers)
        imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(name, 1) for name in domains)]
        model = helper.make_model(graph, opset_imports=imports, ir_version=ir_version)
        path = tmp_path / "model.onnx"
        onnx.save(model, path)
        return Artifact(path, "model.onnx")

    return write


@pytest.fixture
def serve(save: Save) -> Load:
    """Build a graph and load it."""

    def build(*graph: Any, options: OnnxOptions | None = None, **more: Any) -> BaseModel:
        return load(save(*graph, **more), options or OnnxOptions())

    return build


@pytest.fixture
def doubling(save: Save) -> Artifact:
    """Answer ``y = x + x`` for rows of four."""
    return save(
        [helper.make_node("Add", ["x", "x"], ["y"])], [tensor("x", ["N", 4])], [tensor("y", ["N", 4])]
    )
