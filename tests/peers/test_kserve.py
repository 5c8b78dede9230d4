"""KServe's own client: REST with JSON or raw tensors, gRPC with typed or raw ones."""

from pathlib import Path

import numpy as np
import pytest

from tests.peers.clients.tensors import NUMPY, packed, unpacked
from tests.peers.peers import Client
from tests.peers.test_tritonclient import values

pytestmark = pytest.mark.sweep

# Halves have no field in gRPC's messages and no JSON that the client would write.
TYPED = [name for name in (*NUMPY, "BYTES") if name != "FP16"]


@pytest.fixture(scope="module")
def kserve():
    with Client("kserve", Path(__file__).parent / "clients" / "kserve_client.py") as client:
        yield client


@pytest.fixture(scope="module")
def urls(echoes):
    return {"rest": echoes.process.url, "grpc": echoes.url("grpc")}


@pytest.fixture(scope="module")
def infer(kserve, urls):
    def infer(way, model, x, binary, **options):
        return kserve.infer(
            way=way, url=urls[way], model=model, inputs=[packed("x", x)], binary=binary, **options
        )

    return infer


@pytest.mark.parametrize("datatype", [*NUMPY, "BYTES"])
@pytest.mark.parametrize("way", ["rest", "grpc"])
def test_raw_tensors_come_back_bit_for_bit(infer, way, datatype):
    x = values(datatype)

    answer = infer(way, datatype.lower(), x, True, wanted={"y": True, "places": True})

    assert answer["outputs"]["y"] == packed("y", x, datatype)
    assert unpacked(answer["outputs"]["places"]).tolist() == [3, 3]
    assert (answer["id"], answer["model"]) == ("seven", datatype.lower())


@pytest.mark.parametrize("datatype", TYPED)
@pytest.mark.parametrize("way", ["rest", "grpc"])
def test_values_come_back_bit_for_bit(infer, way, datatype):
    """JSON has no word for what is no number: there the client writes null; gRPC has one."""
    x = values(datatype)
    if way == "rest" and datatype.startswith("FP"):
        x = np.where(np.isfinite(x), x, 1 / 3).astype(x.dtype)

    answer = infer(way, datatype.lower(), x, False)

    assert answer["outputs"]["y"] == packed("y", x, datatype)


@pytest.mark.parametrize("way", ["rest", "grpc"])
def test_a_tensor_without_a_value_is_one(infer, way):
    x = np.zeros((2, 0), np.float32)

    assert infer(way, "fp32", x, True)["outputs"]["y"] == packed("y", x)


@pytest.mark.parametrize(("way", "status"), [("rest", 404), ("grpc", "NOT_FOUND")])
def test_an_error_has_our_message(infer, way, status):
    said = infer(way, "nobody", np.ones((1, 1), np.float32), True)

    assert said["status"] == status
    assert "nobody" in said["error"]
    assert not said["error"].startswith(",")  # what it says where it does not understand the body


def test_what_the_first_protocol_says_is_the_same(kserve, urls):
    rows = [[1.5, 2.5]]

    assert kserve.native(url=urls["rest"], model="fp32", body={"instances": rows})["predictions"] == rows


def test_health(kserve, urls):
    over_rest, over_grpc = kserve.health(rest=urls["rest"], url=urls["grpc"], model="fp32")

    assert over_rest == [True, True, True, False]
    assert over_grpc == [True, True, True]
