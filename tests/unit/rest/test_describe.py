"""Examples and command lines made from a signature."""

from __future__ import annotations

import json
import shlex

import pytest

from prism_core.inputs.json_in import normalize
from prism_core.rest.describe import curl, example
from prism_core.specs import Request
from prism_core.types import Signature, TensorSpec

URL = "http://prism.test/model/m/predict"


def signature(*inputs: TensorSpec, **options) -> Signature:
    return Signature(inputs, (TensorSpec("predictions", "INT64", (-1,)),), **options)


COLUMNAR = signature(
    TensorSpec("tenure", "INT64", (-1,)),
    TensorSpec("plan", "BYTES", (-1,), categories=("it's", "plus")),
    TensorSpec("new", "BOOL", (-1,)),
    TensorSpec("note", "BYTES", (-1, 1)),
    columnar=True,
)
EXAMPLES = [
    (COLUMNAR, {"input": [{"tenure": 0, "plan": "it's", "new": False, "note": "text"}]}),
    (signature(TensorSpec("X", "FP64", (-1, 3))), {"input": [[0.0, 0.0, 0.0]]}),
    (signature(TensorSpec("X", "FP64", (-1, 2), columns=("a", "b"))), {"input": [{"a": 0.0, "b": 0.0}]}),
    (signature(TensorSpec("text", "BYTES", (-1,))), {"input": ["text"]}),
    (signature(TensorSpec("X", "UINT8", (-1, 2, -1))), {"input": [[[0], [0]]]}),
    (
        signature(TensorSpec("a", "FP32", (-1, 2)), TensorSpec("b", "INT8", (-1,))),
        {"inputs": {"a": [[0.0, 0.0]], "b": [0]}},
    ),
    (
        signature(
            TensorSpec("tenure", "FP64", (-1,), ranges=((0.0, 71.0),)),
            TensorSpec("calls", "INT64", (-1, 1), ranges=((1.0, 4.0),)),
            TensorSpec("share", "FP64", (-1,), ranges=((0.0101, 0.0349),)),
            columnar=True,
        ),
        {"input": [{"tenure": 36.0, "calls": 2, "share": 0.022}]},
    ),
    (
        signature(
            TensorSpec("X", "FP64", (-1, 3), columns=("a", "b", "c"), ranges=((4.3, 7.9), None, (4.0, 6.0)))
        ),
        {"input": [{"a": 6.1, "b": 0.0, "c": 5.0}]},
    ),
    (signature(TensorSpec("X", "FP64", (-1, 2), ranges=((4.3, 7.9), None))), {"input": [[6.1, 0.0]]}),
    (signature(TensorSpec("X", "FP64", (-1, 1), ranges=((-2.87, 2.85),))), {"input": [[0.0]]}),
    (signature(TensorSpec("X", "FP64", (-1, 2), ranges=((0.0, 16.0),))), {"input": [[8.0, 8.0]]}),
    (signature(TensorSpec("X", "FP32", (2,)), batch_axis=False), {"inputs": {"X": [0.0, 0.0]}}),
    (signature(TensorSpec("X", "FP32", ()), batch_axis=False), {"inputs": {"X": 0.0}}),
]


@pytest.mark.parametrize(("given", "body"), EXAMPLES)
def test_an_example_fits_the_model(given, body):
    assert example(given) == body

    batch = normalize(memoryview(json.dumps(body).encode()), given, Request({}, {}))
    assert list(batch.tensors) == [spec.name for spec in given.inputs]


@pytest.mark.parametrize(("given", "body"), EXAMPLES)
def test_a_command_line_survives_the_shell(given, body):
    words = shlex.split(curl(given, URL))

    assert words[:4] == ["curl", "-X", "POST", URL]
    assert json.loads(words[-1]) == body


@pytest.mark.parametrize(
    ("given", "media_type", "file"),
    [
        (signature(TensorSpec("X", "FP32", (-1, 300))), "application/x-npy", "@rows.npy"),
        (signature(TensorSpec("X", "FP32", (-1, 3, 224, 224))), "image/png", "@image.png"),
        (signature(TensorSpec("X", "FP32", (-1, 224, 224, 3))), "image/png", "@image.png"),
        (
            signature(*(TensorSpec(f"c{i}", "FP32", (-1,)) for i in range(300)), columnar=True),
            "text/csv",
            "@rows.csv",
        ),
        (
            signature(TensorSpec("a", "FP32", (-1, 300)), TensorSpec("b", "FP32", (-1, 300))),
            "application/json",
            "@inputs.json",
        ),
    ],
)
def test_a_large_input_is_a_file(given, media_type, file):
    words = shlex.split(curl(given, URL))

    assert example(given) is None
    assert words[-3:] == [f"Content-Type: {media_type}", "--data-binary", file]
