"""The protocol's bodies over REST, as every media type."""

import gzip
import json

import numpy as np

from prism_core.plugin import Signature, TensorSpec
from prism_core.testing import NormalizerContract
from prism_oip import prism_normalizers
from prism_oip.media import PREFIX, REST

NORMALIZER = next(one for one in prism_normalizers() if one.media_type == REST)
MATRIX = Signature((TensorSpec("x", "FP32", (-1, 2)),), (TensorSpec("y", "FP32", (-1,)),))
COLUMNS = Signature(
    (TensorSpec("tenure", "INT64", (-1,)), TensorSpec("plan", "BYTES", (-1,), nullable=True)),
    (TensorSpec("label", "BYTES", (-1,)),),
    columnar=True,
)
ROWS = {"x": np.array([[1, 2.5], [3, 4]], np.float32)}
RECORDS = {"tenure": np.array([3, 40]), "plan": np.array(["basic", None], object)}


def body_of(*inputs, **others):
    return json.dumps({"inputs": inputs, **others}).encode()


def tensor(name, datatype, shape, **said):
    return {"name": name, "datatype": datatype, "shape": shape, **said}


def written(said, raw=b""):
    head = json.dumps(said, separators=(",", ":")).encode()
    return PREFIX.pack(0, 0) + head


FLAT = body_of(tensor("x", "FP32", [2, 2], data=[1, 2.5, 3, 4]))


class TestJson(NormalizerContract):
    normalizer = NORMALIZER
    signature = MATRIX
    bodies = {
        FLAT: ROWS,
        body_of(tensor("x", "FP64", [2, 2], data=[[1, 2.5], [3, 4]]), id="1"): ROWS,
        body_of(tensor("x", "FP16", [2, 2], data=[[[1], [2.5]], [[3], [4]]]), outputs=[{"name": "y"}]): ROWS,
    }
    malformed = [
        b"{",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 5000,
        body_of(tensor("x", "FP32", [2, 2], data=[1])),
        body_of(tensor("x", "FP32", [-1, 2], data=[1, 2])),
        body_of(tensor("x", "FLOAT", [1, 2], data=[1, 2])),
        body_of(tensor("x", "FP32", [1, 2], parameters={"binary_data_size": 8})),
    ]
    misfits = [
        body_of(tensor("x", "FP32", [1, 3], data=[1, 2, 3])),
        body_of(tensor("x", "FP32", [1, 2], data=[1, "2"])),
        body_of(tensor("y", "FP32", [1, 2], data=[1, 2])),
        body_of(tensor("x", "FP32", [0, 2], data=[])),
        body_of(),
    ]
    answers = [
        (
            {"y": np.array([0.1, np.nan], np.float32)},
            written(
                {
                    "model_name": "churn",
                    "model_version": "3",
                    "outputs": [{"name": "y", "datatype": "FP32", "shape": [2], "data": [0.1, None]}],
                    "parameters": {"warnings": ["NaN or Infinity in 'y' was written as null."]},
                }
            ),
        )
    ]


class TestColumns(NormalizerContract):
    normalizer = NORMALIZER
    signature = COLUMNS
    bodies = {
        body_of(
            tensor("plan", "BYTES", [2, 1], data=["basic", None]),
            tensor("tenure", "INT64", [2], data=[3, 40]),
        ): RECORDS,
        body_of(
            tensor("tenure", "FP64", [2], data=[3.0, 40], parameters={"content_type": "np"}),
            tensor("plan", "BYTES", [2], data=["basic", None], parameters={"content_type": "str"}),
            parameters={"content_type": "pd"},
        ): RECORDS,
    }
    misfits = [
        body_of(tensor("tenure", "INT64", [1], data=[3])),
        body_of(tensor("tenure", "INT64", [1], data=[None])),
    ]
    answers = [
        (
            {"label": np.array(["goes", None], object)},
            written(
                {
                    "model_name": "churn",
                    "model_version": "3",
                    "outputs": [{"name": "label", "datatype": "BYTES", "shape": [2], "data": ["goes", None]}],
                }
            ),
        )
    ]


HEAD = body_of(
    tensor("x", "FP32", [2, 2], parameters={"binary_data_size": 16}), parameters={"binary_data_output": True}
)


class TestRaw(NormalizerContract):
    normalizer = NORMALIZER
    signature = MATRIX
    parameters = {"header": str(len(HEAD))}
    bodies = {HEAD + ROWS["x"].tobytes(): ROWS}
    malformed = [HEAD, HEAD + bytes(15), HEAD + bytes(17), bytes(len(HEAD) + 16), HEAD[:-1]]


class TestRawAlone(NormalizerContract):
    normalizer = NORMALIZER
    signature = MATRIX
    parameters = {"header": "0"}
    bodies = {ROWS["x"].tobytes(): ROWS}
    malformed = [bytes(15)]
    misfits = [b""]


class TestPacked(NormalizerContract):
    normalizer = NORMALIZER
    signature = MATRIX
    parameters = {"encoding": "gzip", "answer": "gzip"}
    bodies = {gzip.compress(FLAT, mtime=0): ROWS}
    malformed = [FLAT, gzip.compress(FLAT)[:-1], gzip.compress(b"{")]
