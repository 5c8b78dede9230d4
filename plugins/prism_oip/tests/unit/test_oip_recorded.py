"""Bodies as tritonclient 2.73 (Python, HTTP) wrote them for known arrays."""

import numpy as np
import pytest

from prism_core.plugin import Signature, TensorSpec
from prism_core.testing import assert_same
from prism_oip.reply import Reply

OUTPUTS = (TensorSpec("y", "FP32", (-1,)), TensorSpec("z", "FP32", (-1,)))
NUMBERS = np.array([[1, -2.5], [3.25, 1e-3]], np.float32)
PAIR = {"a": np.array([3, -4]), "b": np.array([["é"], [""]], object)}
TWO = Signature((TensorSpec("a", "INT64", (-1,)), TensorSpec("b", "BYTES", (-1, 1))), OUTPUTS)


def one(datatype):
    return Signature((TensorSpec("x", datatype, (-1, 2)),), OUTPUTS)


# What it is, head, what is raw behind it; the model, the arrays, and what is asked for.
RECORDED = {
    "raw numbers": (
        b'{"inputs":[{"name":"x","shape":[2,2],"datatype":"FP32","parameters":{"binary_data_size":16}}],'
        b'"parameters":{"binary_data_output":true}}',
        b"\x00\x00\x80?\x00\x00 \xc0\x00\x00P@o\x12\x83:",
        one("FP32"),
        {"x": NUMBERS},
        ((), {}, Reply(raw=True)),
    ),
    "all that may be asked for": (
        b'{"id":"42","inputs":[{"name":"x","shape":[2,2],"datatype":"FP32","parameters":{"binary_data_size":16}}],'
        b'"outputs":[{"name":"y","parameters":{"binary_data":true}},{"name":"z","parameters":{"binary_data":false}}],'
        b'"parameters":{"priority":2,"timeout":1000,"threshold":0.5}}',
        b"\x00\x00\x80?\x00\x00 \xc0\x00\x00P@o\x12\x83:",
        one("FP32"),
        {"x": NUMBERS},
        (("y", "z"), {"threshold": 0.5}, Reply("42", raw_of={"y": True, "z": False})),
    ),
    "numbers in JSON": (
        b'{"inputs":[{"name":"x","shape":[2,2],"datatype":"FP32","data":[1.0,-2.5,3.25,0.0010000000474974513]}],'
        b'"outputs":[{"name":"y","parameters":{"binary_data":false}}]}',
        b"",
        one("FP32"),
        {"x": NUMBERS},
        (("y",), {}, Reply(raw_of={"y": False})),
    ),
    "two raw": (
        b'{"inputs":[{"name":"a","shape":[2],"datatype":"INT64","parameters":{"binary_data_size":16}},'
        b'{"name":"b","shape":[2,1],"datatype":"BYTES","parameters":{"binary_data_size":10}}],'
        b'"parameters":{"binary_data_output":true}}',
        b"\x03" + bytes(7) + b"\xfc" + b"\xff" * 7 + b"\x02\x00\x00\x00\xc3\xa9\x00\x00\x00\x00",
        TWO,
        PAIR,
        ((), {}, Reply(raw=True)),
    ),
    "the second raw": (
        b'{"inputs":[{"name":"a","shape":[2],"datatype":"INT64","data":[3,-4]},'
        b'{"name":"b","shape":[2,1],"datatype":"BYTES","parameters":{"binary_data_size":10}}],'
        b'"parameters":{"binary_data_output":true}}',
        b"\x02\x00\x00\x00\xc3\xa9\x00\x00\x00\x00",
        TWO,
        PAIR,
        ((), {}, Reply(raw=True)),
    ),
    "the first raw, in a sequence": (
        b'{"inputs":[{"name":"a","shape":[2],"datatype":"INT64","parameters":{"binary_data_size":16}},'
        b'{"name":"b","shape":[2,1],"datatype":"BYTES","data":["\\u00E9",""]}],"parameters":{"sequence_id":3,'
        b'"sequence_start":true,"sequence_end":false,"binary_data_output":true}}',
        b"\x03" + bytes(7) + b"\xfc" + b"\xff" * 7,
        TWO,
        PAIR,
        ((), {}, Reply(raw=True)),
    ),
    "BF16": (
        b'{"inputs":[{"name":"x","shape":[2,2],"datatype":"BF16","parameters":{"binary_data_size":8}}],'
        b'"parameters":{"binary_data_output":true}}',
        b"\x80? \xc0P@\x83:",
        one("FP32"),
        {"x": np.array([[1, -2.5], [3.25, 131 / 2**17]], np.float32)},
        ((), {}, Reply(raw=True)),
    ),
    "FP16": (
        b'{"inputs":[{"name":"x","shape":[2,2],"datatype":"FP16","parameters":{"binary_data_size":8}}],'
        b'"parameters":{"binary_data_output":true}}',
        b"\x00<\x00\xc1\x80B\x19\x14",
        one("FP16"),
        {"x": NUMBERS.astype(np.float16)},
        ((), {}, Reply(raw=True)),
    ),
    "BOOL": (
        b'{"inputs":[{"name":"x","shape":[1,2],"datatype":"BOOL","parameters":{"binary_data_size":2}}],'
        b'"parameters":{"binary_data_output":true}}',
        b"\x01\x00",
        one("BOOL"),
        {"x": np.array([[True, False]])},
        ((), {}, Reply(raw=True)),
    ),
}


@pytest.mark.parametrize("recorded", RECORDED.values(), ids=list(RECORDED))
def test_what_a_client_wrote_means_what_it_was_given(read, recorded):
    head, raw, signature, arrays, (outputs, parameters, reply) = recorded

    batch = read(head, signature, *([raw] if raw else []))

    assert_same(batch.tensors, arrays)
    assert (batch.outputs, batch.parameters, batch.reply) == (outputs, parameters, reply)
