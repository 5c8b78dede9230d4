"""The models that are attacked: numbers in rows, columns of a table, and every datatype there is."""

from __future__ import annotations

import random
from pathlib import Path

import attrs
import numpy as np

# Of one input; a row is what `shape` says behind its first -1.
Array = np.ndarray


@attrs.frozen
class Input:
    """An input of a model, as its metadata tells it."""

    name: str
    datatype: str
    shape: tuple[int, ...]


DTYPES = {
    "BOOL": "?", "INT8": "i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8", "UINT8": "u1",
    "UINT16": "<u2",
    "UINT32": "<u4", "UINT64": "<u8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8", "BYTES": "O",
}  # fmt: skip
MODELS = {
    "line": (Input("input", "FP64", (-1, 2)),),
    "table": (Input("age", "FP64", (-1,)), Input("city", "BYTES", (-1,))),
    "types": tuple(Input(f"in_{name.lower()}", name, (-1, 2)) for name in DTYPES),
}
WORDS = ["", "oslo", "são paulo", "北京", "a" * 40, "😀"]


def array_of(one: Input, rows: int, chance: random.Random) -> Array:
    """Return values for an input."""
    shape = (rows, *one.shape[1:])
    count = int(np.prod(shape))
    if one.datatype == "BYTES":
        return np.array([chance.choice(WORDS) for _ in range(count)], dtype=object).reshape(shape)
    return np.array([chance.randrange(2) for _ in range(count)]).astype(DTYPES[one.datatype]).reshape(shape)


def raw_of(array: Array) -> bytes:
    """Return an array as the protocol's raw bytes."""
    if array.dtype != object:
        return array.tobytes()
    words = [str(word).encode() for word in array.ravel()]
    return b"".join(len(word).to_bytes(4, "little") + word for word in words)


def train(directory: Path) -> dict[str, Path]:
    """Write the models; return their files by name."""
    import joblib
    from sklearn.linear_model import LinearRegression

    files = {
        "line": directory / "line.pkl",
        "table": directory / "table.pkl",
        "types": directory / "types.onnx",
    }
    x = np.array([[0.0, 0], [1, 0], [0, 1], [2, 5]])
    joblib.dump(LinearRegression().fit(x, x @ [2, 3]), files["line"])
    joblib.dump(_table(), files["table"])
    files["types"].write_bytes(_types())
    return files


def _table() -> object:
    import pandas as pd
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    frame = pd.DataFrame({"age": [20, 30, 40, 50], "city": ["oslo", "rome", "oslo", "rome"]})
    encode = OneHotEncoder(handle_unknown="ignore")
    columns = ColumnTransformer([("age", StandardScaler(), ["age"]), ("city", encode, ["city"])])
    return make_pipeline(columns, LogisticRegression()).fit(frame, [0, 1, 0, 1])


def _types() -> bytes:
    """Return a graph that answers what it was asked, in every datatype."""
    from onnx import TensorProto, helper

    kinds = {
        "BOOL": TensorProto.BOOL, "FP16": TensorProto.FLOAT16, "FP32": TensorProto.FLOAT,
        "FP64": TensorProto.DOUBLE,
        "BYTES": TensorProto.STRING,
    }  # fmt: skip
    ins, outs, nodes = [], [], []
    for one in MODELS["types"]:
        kind = kinds.get(one.datatype) or getattr(TensorProto, one.datatype)
        out = one.name.replace("in_", "out_")
        ins.append(helper.make_tensor_value_info(one.name, kind, ["rows", 2]))
        outs.append(helper.make_tensor_value_info(out, kind, ["rows", 2]))
        nodes.append(helper.make_node("Identity", [one.name], [out]))
    graph = helper.make_graph(nodes, "types", ins, outs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())
