"""Answers as the runtime writes them are read: of PRISM, and of the Open Inference Protocol."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_core.inputs import json_out, tensors
from prism_core.plugin import Answer as Encoding
from prism_core.plugin import Batch, Signature, TensorSpec
from prism_core.traffic.comparing import Answer, compare
from prism_core.traffic.comparing.answers import MOST_BYTES, columns
from prism_oip.reply import Reply
from prism_oip.writing import grpc, rest

ROWS = {
    "predictions": ["yes", "no", "é"],
    "probabilities": [[0.75, 0.25], [0.5, 0.5], [1.0, 0.0]],
    "count": [1, 2, 3],
}
OUTPUTS = {
    "predictions": np.array(ROWS["predictions"], dtype=object),
    "probabilities": np.array(ROWS["probabilities"], dtype=np.float32),
    "count": np.array(ROWS["count"]),
}
SPECS = tuple(TensorSpec(name, "FP32" if name == "probabilities" else "BYTES", (-1,)) for name in OUTPUTS)
SIGNATURE = Signature((), SPECS, primary="predictions", classes=("yes", "no"))


def encoding(reply=None, outputs=OUTPUTS):
    return Encoding("churn", 3, Batch(outputs), SIGNATURE, reply=reply)


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        ("application/json", json_out.encode(encoding())),
        ("application/vnd.prism.tensors", tensors.encode(encoding())),
        ("application/vnd.prism.oip", rest.encode(encoding())),
        ("application/vnd.prism.oip", rest.encode(encoding(reply=Reply(raw=True)))),
        ("application/vnd.prism.oip", rest.encode(encoding(reply=Reply(raw_of={"count": True})))),
        ("application/vnd.prism.oip.grpc", grpc.encode(encoding(reply=Reply()))),
        ("application/vnd.prism.oip.grpc", grpc.encode(encoding(reply=Reply(id="a", raw=True)))),
    ],
)
def test_every_form_is_read_as_the_same_rows(media_type, body):
    assert columns(Answer(media_type, body)) == ROWS


DATATYPES = {
    "bool": [True, False],
    "int8": [-1, 1],
    "int64": [-(2**63), 2**63 - 1],
    "uint64": [2**63 - 1, 0],
    "uint8": [255, 0],
    "float32": [-1.5, 0.0],
    "float64": [-1.5, 1e300],
}


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("dtype", DATATYPES)
def test_numbers_of_every_kind_are_read_from_grpc(dtype, raw):
    values = DATATYPES[dtype]
    body = grpc.encode(encoding(reply=Reply(raw=raw), outputs={"y": np.array(values, dtype=dtype)}))

    assert columns(Answer("application/vnd.prism.oip.grpc", body)) == {"y": values}


@given(st.binary(max_size=60), st.sampled_from(["", ".grpc"]))
def test_whatever_is_no_answer_is_said_to_be_none(body, kind):
    media_type = f"application/vnd.prism.oip{kind}"
    found = compare(Answer(media_type, body), Answer(media_type, body + b"x"))

    assert found.rows or found.why in ("unreadable", "outputs", "row_counts") or not found.outputs


@pytest.mark.parametrize("packing", ["gzip", "deflate"])
def test_packed_answers_are_unpacked(packing):
    many = {"count": np.arange(1000)}
    body = rest.encode(encoding(reply=Reply(packing=packing), outputs=many))

    assert len(body) < 3000
    assert columns(Answer("application/vnd.prism.oip", body)) == {"count": list(range(1000))}


def test_an_answer_that_unpacks_to_too_much_is_not_read():
    zeros = encoding(reply=Reply(raw=True, packing="gzip"), outputs={"x": np.zeros(MOST_BYTES // 8)})
    bomb = Answer("application/vnd.prism.oip", rest.encode(zeros))

    assert len(bomb.body) < 10_000
    assert "too large" in compare(bomb, Answer(bomb.media_type, rest.encode(encoding()))).said


def test_maps_and_odd_lists_are_read_from_tensors_too():
    body = tensors.pack(Batch({"y": [{"a": 0.25, "b": 0.75}], "z": np.array([["a", 1]], dtype=object)}))

    assert columns(Answer("application/vnd.prism.tensors", body)) == {
        "y": [{"a": 0.25, "b": 0.75}],
        "z": [["a", 1]],
    }
