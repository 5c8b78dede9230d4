"""Damaged bodies of V2 over REST: read, or refused; whole and in steps alike, packed and not."""

import gzip
import json
import zlib

import numpy as np
import pytest

from prism_core.plugin import PrismError, Request, Signature, TensorSpec
from prism_core.testing import assert_fits, assert_same
from prism_core.testing.fuzzing import fuzz
from prism_core.testing.normalizers import in_steps
from prism_oip.reading import rest as reading

pytestmark = pytest.mark.sweep

OUTPUTS = (TensorSpec("y", "FP64", (-1,)),)
MATRIX = Signature((TensorSpec("x", "FP32", (-1, 2)),), OUTPUTS)
TEXTS = Signature((TensorSpec("x", "BYTES", (-1,), nullable=True),), OUTPUTS)
WHOLE = Signature((TensorSpec("x", "FP16", (-1, -1)),), OUTPUTS, batch_axis=False)
TABLE = Signature(
    (
        TensorSpec("a", "INT64", (-1,)),
        TensorSpec("b", "BYTES", (-1, 1)),
        TensorSpec("c", "FP32", (-1,), nullable=True),
        TensorSpec("d", "BOOL", (-1,)),
    ),
    OUTPUTS,
    columnar=True,
)
TOKENS = [
    b'"data"', b'"data":[', b'"shape":[', b'"binary_data_size":', b'"parameters":{', b'"BF16"', b'"BYTES"',
    b'"FP64"',
    b"9223372036854775807", b"18446744073709551616", b"]]", b"],[", b'","', b"\xff\xff\xff\xff", b"\\ud800",
]  # fmt: skip


def tensor(name, datatype, shape, **said):
    return {"name": name, "shape": shape, "datatype": datatype, **said}


def body_of(*inputs, raw=b"", **others):
    head = json.dumps({"inputs": inputs, **others}).encode()
    return head + raw, {"header": str(len(head))} if raw else {}


def raw(size):
    return {"parameters": {"binary_data_size": size}}


ASKED = {
    "id": "42",
    "outputs": [{"name": "y", "parameters": {"binary_data": True}}],
    "parameters": {"t": [1], "binary_data_output": False, "priority": 1},
}
ROWS = np.arange(4, dtype=np.float32)
PLAIN = [
    (MATRIX, body_of(tensor("x", "FP32", [2, 2], data=[1, 2.5, 3e0, -4]), **ASKED)),
    (MATRIX, body_of(tensor("x", "FP64", [2, 2], data=[[1, 2], [3, 4]]))),
    (MATRIX, body_of(tensor("x", "FP32", [2, 2], **raw(16)), raw=ROWS.tobytes(), **ASKED)),
    (MATRIX, body_of(tensor("x", "BF16", [2, 2], **raw(8)), raw=bytes(8))),
    (MATRIX, (ROWS.tobytes(), {"header": "0"})),
    (TEXTS, body_of(tensor("x", "BYTES", [3], data=["one", None, "\U0001f600"]))),
    (TEXTS, body_of(tensor("x", "BYTES", [2], **raw(11)), raw=b"\3\0\0\0one\0\0\0\0")),
    (WHOLE, body_of(tensor("x", "FP16", [1, 2], data=[0.5, 1]))),
    (WHOLE, body_of(tensor("x", "UINT8", [2, 1], **raw(2)), raw=b"\1\2")),
    (
        TABLE,
        body_of(
            tensor("a", "INT64", [1], data=[2**53 + 1]),
            tensor("c", "FP32", [1], data=[None]),
            tensor("b", "BYTES", [1, 1], **raw(6)),
            tensor("d", "BOOL", [1, 1], **raw(1)),
            raw=b"\2\0\0\0\xc3\xa9\1",
        ),
    ),
]


@pytest.mark.parametrize("at", range(len(PLAIN)))
def test_a_damaged_body_is_read_or_refused(at):
    signature, (seed, parameters) = PLAIN[at]
    requests = [Request(parameters, {}), Request({}, {}), Request({"header": "40"}, {})]

    def read(body):
        request = requests[0 if len(body) % 4 else len(body) % 3]
        batch = reading.normalize(memoryview(body), signature, request)
        assert_fits(batch, signature.inputs)

    reading.normalize(memoryview(seed), signature, requests[0])
    report = fuzz(read, [seed], cases=2000, tokens=TOKENS)

    assert 0 < report.refused < report.cases


@pytest.mark.parametrize("at", range(len(PLAIN)))
def test_a_body_means_in_steps_what_it_means_as_a_whole(at):
    signature, (seed, parameters) = PLAIN[at]
    request = Request(parameters, {})

    def read(body):
        view = memoryview(body)
        found = in_steps(reading.normalize_steps(view, signature, request, piece_bytes=8))
        if found is not None:
            whole = reading.normalize(view, signature, request)
            assert_same(found.tensors, whole.tensors)
            assert (found.outputs, found.parameters) == (whole.outputs, whole.parameters)
            assert found.reply == whole.reply

    fuzz(read, [seed], cases=1500, tokens=TOKENS, allowed=(PrismError,))


@pytest.mark.parametrize(("packing", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_damaged_packed_body_is_read_or_refused(packing, pack):
    _, (seed, _) = PLAIN[0]
    request = Request({"encoding": packing, "answer": packing}, {})

    def read(body):
        batch = reading.normalize(memoryview(body), MATRIX, request)
        assert_fits(batch, MATRIX.inputs)

    report = fuzz(read, [pack(seed), pack(bytes(100_000))], cases=2000)

    assert 0 < report.refused < report.cases
