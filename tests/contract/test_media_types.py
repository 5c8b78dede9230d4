"""The built-in media types, as every media type."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from prism_core import inputs
from prism_core.inputs import tensors
from prism_core.plugin import Answer, Batch, Signature, TensorSpec
from prism_core.testing import NormalizerContract

NORMALIZERS = {one.media_type: one for one in inputs.prism_normalizers()}
MATRIX = Signature(
    inputs=(TensorSpec("input", "FP32", (-1, 2)),),
    outputs=(TensorSpec("predictions", "FP32", (-1,)),),
)
COLUMNS = Signature(
    inputs=(TensorSpec("tenure", "INT64", (-1,)), TensorSpec("plan", "BYTES", (-1,), nullable=True)),
    outputs=(TensorSpec("predictions", "BYTES", (-1,)),),
    columnar=True,
)
TEXT = Signature((TensorSpec("text", "BYTES", (-1,)),), (TensorSpec("predictions", "INT64", (-1,)),))
PICTURE = Signature(
    (TensorSpec("image", "UINT8", (-1, 2, 2, 3)),), (TensorSpec("predictions", "INT64", (-1,)),)
)

ROWS = {"input": np.array([[1, 2.5], [3, 4]], dtype=np.float32)}
RECORDS = {"tenure": np.array([3, 40]), "plan": np.array(["basic", None], dtype=object)}
NUMBERS = {"predictions": np.array([1.5, np.nan], dtype=np.float32)}


def npy(array):
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def document(value):
    return json.dumps(value).encode()


class TestJsonRows(NormalizerContract):
    normalizer = NORMALIZERS["application/json"]
    signature = MATRIX
    bodies = {
        document([[1, 2.5], [3, 4]]): ROWS,
        document({"input": [[1, 2.5], [3, 4]]}): ROWS,
        document({"inputs": {"input": [[1, 2.5], [3, 4]]}}): ROWS,
    }
    malformed = [b"{", b"[1, 2", b"\xff", b"[" * 5000]
    misfits = [
        document([[1, 2, 3]]),
        document([["one", "two"]]),
        document([[1, None]]),
        document({"inptu": 1}),
    ]
    answers = [(NUMBERS, None)]

    def test_an_answer_is_written_as_expected(self):
        answer = json.loads(self.write(NUMBERS))

        assert (answer["model"], answer["version"], answer["predictions"]) == ("churn", 3, [1.5, None])
        assert answer["warnings"]


class TestJsonRecords(NormalizerContract):
    normalizer = NORMALIZERS["application/json"]
    signature = COLUMNS
    bodies = {
        document({"input": [{"tenure": 3, "plan": "basic"}, {"tenure": 40, "plan": None}]}): RECORDS,
        document({"input": {"tenure": [3, 40], "plan": ["basic", None]}}): RECORDS,
        document({"inputs": {"tenure": [3, 40], "plan": ["basic", None]}}): RECORDS,
    }
    misfits = [
        document([{"tenure": 1.5, "plan": "basic"}]),
        document([{"tenure": None, "plan": "basic"}]),
        document([{"tenure": 3, "plna": "basic"}]),
    ]


class TestNpy(NormalizerContract):
    normalizer = NORMALIZERS["application/x-npy"]
    signature = MATRIX
    bodies = {npy(ROWS["input"]): ROWS, npy(np.asfortranarray(ROWS["input"])): ROWS}
    malformed = [b"PK", npy(ROWS["input"])[:-1], npy(ROWS["input"])[:20]]
    misfits = [npy(np.zeros((1, 3), np.float32)), npy(np.array([["a", "b"]]))]
    answers = [({"predictions": np.array([1.5], np.float32)}, npy(np.array([1.5], np.float32)))]


class TestRaw(NormalizerContract):
    normalizer = NORMALIZERS["application/octet-stream"]
    signature = MATRIX
    bodies = {ROWS["input"].tobytes(): ROWS}
    malformed = [b"123"]
    answers = [(NUMBERS, NUMBERS["predictions"].tobytes())]


class TestTensors(NormalizerContract):
    normalizer = NORMALIZERS["application/vnd.prism.tensors"]
    signature = MATRIX
    bodies = {tensors.encode(Answer("m", 1, Batch(ROWS), MATRIX)): ROWS}
    malformed = [b"PRT1", b"PRT2\0\0\0\0", b"PRT1\xff\xff\xff\xff"]


class TestTensorsWithStrings(NormalizerContract):
    normalizer = NORMALIZERS["application/vnd.prism.tensors"]
    signature = COLUMNS
    bodies = {tensors.encode(Answer("m", 1, Batch(RECORDS), COLUMNS)): RECORDS}


class TestCsv(NormalizerContract):
    normalizer = NORMALIZERS["text/csv"]
    signature = COLUMNS
    bodies = {b"tenure,plan\n3,basic\n40,\n": RECORDS, b"plan,tenure\r\nbasic,3\r\n,40\r\n": RECORDS}
    malformed = [b"\xff\xfe"]
    misfits = [b"tenure,plan\nmany,basic\n", b"tenure,plan\n1.5,basic\n", b"tenure\n3\n"]
    answers = [({"predictions": np.array(["yes", "no"], dtype=object)}, b"predictions\nyes\nno\n")]


class TestText(NormalizerContract):
    normalizer = NORMALIZERS["text/plain"]
    signature = TEXT
    bodies = {"grüß dich".encode(): {"text": np.array(["grüß dich"], dtype=object)}}
    malformed = [b"\xff"]


class TestPng(NormalizerContract):
    normalizer = NORMALIZERS["image/png"]
    signature = PICTURE
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    bodies = {png(pixels): {"image": pixels[None]}}
    malformed = [b"GIF89a", png(pixels)[:40], b"\x89PNG\r\n\x1a\n"]


@pytest.mark.parametrize("media_type", NORMALIZERS)
def test_every_media_type_keeps_the_simple_rules(media_type):
    """Also those that have no suite above."""
    suite = NormalizerContract()
    suite.normalizer = NORMALIZERS[media_type]

    suite.test_the_media_type_is_bare_and_lower_case()
    suite.test_it_reads_or_writes()
