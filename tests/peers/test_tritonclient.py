"""NVIDIA's client by all its ways: HTTP by greenlets and asyncio, gRPC by threads and asyncio."""

from pathlib import Path

import numpy as np
import pytest

from tests.peers.clients.tensors import NUMPY, packed, unpacked
from tests.peers.peers import Client

WAYS = ("http", "http-aio", "grpc", "grpc-aio")
BYTES = np.array([["", "a", "Zürich 東京"], ["\x00", "line\nline", "x" * 1000]], dtype=object)


def values(datatype):
    """Return two rows that hold what is easily lost: the ends of a range, signs, gaps and no numbers."""
    if datatype == "BYTES":
        return BYTES
    dtype = np.dtype(NUMPY[datatype])
    if dtype.kind == "b":
        return np.array([[True, False, True], [False, False, True]])
    if dtype.kind in "iu":
        ends = np.iinfo(dtype)
        return np.array([[ends.min, 0, ends.max], [1, 2, ends.max - 1]], dtype)
    ends = np.finfo(dtype)
    return np.array([[-0.0, ends.tiny, ends.max], [np.nan, -np.inf, 1 / 3]], dtype)


@pytest.fixture(scope="module")
def triton():
    with Client("tritonclient", Path(__file__).parent / "clients" / "triton.py") as client:
        yield client


@pytest.fixture(scope="module")
def infer(triton, echoes):
    """Ask a model about arrays by name; return the answer."""

    def infer(way, model, wanted=None, options=None, binary=True, **arrays):
        made = (one if isinstance(one, dict) else packed(name, one) for name, one in arrays.items())
        inputs = [tensor | {"binary": binary} for tensor in made]
        facts = {"way": way, "url": echoes.url(way), "model": model, "inputs": inputs, "wanted": wanted}
        return triton.infer(**facts, **(options or {}))

    return infer


@pytest.mark.parametrize("datatype", [*NUMPY, "BYTES"])
@pytest.mark.parametrize("way", WAYS)
def test_every_datatype_comes_back_bit_for_bit(infer, way, datatype):
    x = values(datatype)

    answer = infer(way, datatype.lower(), x=x)

    assert answer["outputs"]["y"] == packed("y", x, datatype)
    assert unpacked(answer["outputs"]["places"]).tolist() == [3, 3]
    assert answer["as_json"] == {"y": False, "places": False}
    assert (answer["model_name"], answer["model_version"]) == (datatype.lower(), "1")


@pytest.mark.parametrize("way", WAYS)
def test_bf16_is_widened_for_a_model_of_fp32(infer, way):
    """numpy has no such type, so models take its values as FP32, which holds all of them."""
    halves = np.array([[1.0, -0.0, 3.140625], [np.inf, 2.0**-130, -(2.0**127)]], np.float32)
    raw = (halves.view(np.uint32) >> 16).astype(np.uint16)
    tensor = packed("x", raw) | {"datatype": "BF16"}

    answer = infer(way, "fp32", x=tensor)

    assert answer["outputs"]["y"] == packed("y", halves)


@pytest.mark.parametrize("way", WAYS)
def test_a_tensor_without_a_value_is_one(infer, way):
    x = np.zeros((2, 0), np.float32)

    assert infer(way, "fp32", x=x)["outputs"]["y"] == packed("y", x)


@pytest.mark.parametrize("way", WAYS)
def test_a_request_without_a_row_is_none(infer, way):
    assert "no rows" in infer(way, "fp32", x=np.zeros((0, 3), np.float32))["error"]


@pytest.mark.parametrize("datatype", [name for name in NUMPY if name != "FP16"])
@pytest.mark.parametrize("way", ["http", "http-aio"])
def test_values_come_and_go_as_json(infer, way, datatype):
    """But for halves: the client sends them raw alone."""
    x = values(datatype)
    if x.dtype.kind == "f":
        x = np.where(np.isfinite(x), x, -1 / 3).astype(x.dtype)

    answer = infer(way, datatype.lower(), binary=False, wanted={"y": False, "places": True}, x=x)

    assert answer["outputs"]["y"] == packed("y", x, datatype)
    assert answer["as_json"] == {"y": True, "places": False}


def test_what_is_no_number_cannot_come_as_json(infer):
    """The client writes NaN, which no JSON has; it is told to send the tensor raw."""
    refused = infer("http", "fp32", binary=False, x=np.array([[np.nan]], np.float32))

    assert refused["status"] == "400"
    assert "raw" in refused["error"]


def test_what_is_no_number_goes_out_as_a_gap(infer):
    x = np.array([[np.nan, 1.0]], np.float32)

    answer = infer("http", "fp32", wanted={"y": False}, x=x)

    assert answer["outputs"]["y"] == packed("y", x)


def test_strings_come_and_go_as_json(infer):
    answer = infer("http", "bytes", binary=False, wanted={"y": False}, x=BYTES)

    assert answer["outputs"] == {"y": packed("y", BYTES)}


@pytest.mark.parametrize("way", WAYS)
def test_only_the_wanted_outputs_are_answered(infer, way):
    answer = infer(way, "fp32", wanted={"places": True}, x=np.ones((2, 3), np.float32))

    assert list(answer["outputs"]) == ["places"]


@pytest.mark.parametrize("way", WAYS)
def test_a_request_has_its_id_and_its_parameters(infer, way):
    options = {
        "request_id": "4711",
        "model_version": "1",
        "priority": 3,
        "timeout": 9_000_000,
        "sequence_id": 5,
        "sequence_start": True,
    }

    answer = infer(way, "fp32", options=options, x=np.ones((1, 2), np.float32))

    assert (answer["id"], answer["model_version"]) == ("4711", "1")


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
@pytest.mark.parametrize("way", WAYS)
def test_bodies_may_be_packed(infer, way, algorithm):
    words = ["compression_algorithm"]
    if way.startswith("http"):
        words = ["request_compression_algorithm", "response_compression_algorithm"]
    x = np.arange(3000, dtype=np.float32).reshape(1, -1)

    answer = infer(way, "fp32", options=dict.fromkeys(words, algorithm), x=x)

    assert answer["outputs"]["y"] == packed("y", x)
