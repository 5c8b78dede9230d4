"""Every form asks for the same rows, and reads what a server answers to it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bench.protocols.forms import BINARY, FORMS, GRPC, JSON, NATIVE
from bench.protocols.parts import Row
from bench.protocols.tables import table
from prism_oip.rpc import oip_pb2

ROWS = np.array([[0.1, -2.5], [3e7, 1e-7]], np.float32)


def asked_for(form):
    headers, body = form.ask("m", "X", "label", ROWS)
    if form is NATIVE:
        return json.loads(body)["input"]
    if form is GRPC:
        return np.frombuffer(oip_pb2.ModelInferRequest.FromString(body).raw_input_contents[0], "<f4")
    length = int(headers.get("inference-header-content-length", len(body)))
    tensor = json.loads(body[:length])["inputs"][0]
    return tensor.get("data") or np.frombuffer(body[length:], "<f4")


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_the_numbers_are_exact_in_every_form(form):
    found = np.array(asked_for(form), np.float32).reshape(ROWS.shape)

    np.testing.assert_array_equal(found, ROWS)


def test_answers_are_read():
    head = b'{"outputs":[{"name":"label","datatype":"INT64","parameters":{"binary_data_size":16}}]}'
    raw = np.array([1, -1]).astype("<i8").tobytes()
    message = oip_pb2.ModelInferResponse(raw_output_contents=[raw])
    message.outputs.add(name="label", datatype="INT64", shape=[2])
    answers = {
        NATIVE: ({}, b'{"predictions":[1,-1]}'),
        JSON: ({}, b'{"outputs":[{"name":"other"},{"name":"label","data":[1,-1]}]}'),
        BINARY: ({"inference-header-content-length": str(len(head))}, head + raw),
        GRPC: ({}, message.SerializeToString()),
    }
    for form, (headers, body) in answers.items():
        assert form.read(headers, body, "label").tolist() == [1, -1]


def test_a_line_of_the_table_is_the_median_of_its_rounds():
    rounds = [Row("forms", "1x4", "PRISM", "gRPC", 64, rps, 1.0, 2.0, 3.0, 0.1) for rps in (10, 30, 1000)]
    other = Row("forms", "1x4", "PRISM", "gRPC", 1, 5, 1.0, 2.0, 3.0, 0.1)

    assert table([*rounds, other]).splitlines()[2:] == [
        "| PRISM | gRPC | 1x4 | 64 | 30 | 1.00 / 2.00 | 3 |",
        "| PRISM | gRPC | 1x4 | 1 | 5 | 1.00 / 2.00 | 3 |",
    ]
