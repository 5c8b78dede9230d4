"""What is asked: a graph, its rows, and what onnxruntime itself says of them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import attrs
import numpy as np

from bench.large import IMAGE, _image_model
from bench.servers import HERE

# Name -> rows and features; trained here, since only their shapes matter.
SHAPES = {"narrow": (1, 4), "wide": (64, 20)}


@attrs.frozen(eq=False)
class Subject:
    """Rows for one graph: the names of its input and of the output asked for, and the right answer."""

    model: str
    title: str
    tensor: str
    output: str
    rows: np.ndarray
    expected: np.ndarray


def train(directory: Path, model: str) -> Subject:
    """Write ``MODEL.onnx`` and return what it is asked."""
    if model == "mlp":
        subprocess.run([sys.executable, str(HERE / "models.py"), str(directory)], check=True)
        rows = np.array(json.loads((directory / "rows.json").read_text())["mlp"][:1], np.float32)
        return subject(directory, model, "1x64", rows)
    rng = np.random.default_rng(7)
    if model == "image":
        (directory / "image.onnx").write_bytes(_image_model())
        return subject(directory, model, "3x224x224", rng.normal(size=(1, *IMAGE)).astype(np.float32))
    shape = SHAPES[model]
    (directory / f"{model}.onnx").write_bytes(logistic(shape[1]))
    rows = rng.normal(size=shape).round(4).astype(np.float32)
    return subject(directory, model, "x".join(map(str, shape)), rows)


def logistic(features: int) -> bytes:
    """Return a logistic regression as ONNX."""
    from skl2onnx import to_onnx
    from sklearn.linear_model import LogisticRegression

    x = np.random.default_rng(0).normal(size=(200, features)).astype(np.float32)
    graph = to_onnx(LogisticRegression().fit(x, x[:, 0] > 0), x[:1], options={"zipmap": False})
    return bytes(graph.SerializeToString())


def subject(directory: Path, model: str, title: str, rows: np.ndarray) -> Subject:
    """Ask the graph itself."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(directory / f"{model}.onnx"))
    tensor, output = session.get_inputs()[0].name, session.get_outputs()[0].name
    return Subject(model, title, tensor, output, rows, session.run([output], {tensor: rows})[0])
