"""NVIDIA's client at a server that is encrypted and asks for keys."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from prism_core.testing.server import ServerProcess
from tests.peers.clients.tensors import packed
from tests.peers.conftest import GRPC, Served, installed, until_ready
from tests.peers.peers import Client

pytestmark = pytest.mark.sweep

WAYS = ("http", "http-aio", "grpc", "grpc-aio")
X = packed("x", np.array([[1.5, 2.5]], np.float32))


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    directory = tmp_path_factory.mktemp("guarded")
    (directory / "fp32.echo").write_text(json.dumps({"datatype": "FP32"}))
    flags = (*GRPC, "--tls", "self-signed", "--auth", "keys")
    config = f"models: {{mine: {{path: {directory}/fp32.echo}}, other: {{path: {directory}/fp32.echo}}}}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(installed(directory / "site")))
        with ServerProcess(directory / "data", *flags, config=config) as server:
            until_ready(server)
            yield Served(server)


@pytest.fixture(scope="module")
def key(guarded):
    return guarded.process.json("keys", "create", "--model", "mine", "--name", "ann")["key"]


@pytest.fixture(scope="module")
def trusted(guarded, tmp_path_factory):
    """What clients are told to trust. Those of gRPC know no authority that is bound to addresses."""
    leaf = tmp_path_factory.mktemp("leaf") / "leaf.pem"
    leaf.write_bytes(
        subprocess.check_output(["openssl", "x509", "-in", guarded.process.facts["tls"]["cert"]])
    )
    return {"http": guarded.process.facts["tls"]["ca"], "grpc": leaf}


@pytest.fixture(scope="module")
def infer(guarded, trusted):
    with Client("tritonclient", Path(__file__).parent / "clients" / "triton.py") as triton:
        yield lambda way, model, **headers: triton.infer(
            way=way,
            url=guarded.url(way),
            model=model,
            inputs=[X],
            ca=str(trusted["grpc" if way.startswith("grpc") else "http"]),
            headers=headers or None,
        )


@pytest.mark.parametrize("way", WAYS)
def test_with_its_key_a_client_is_let_in(infer, key, way):
    answer = infer(way, "mine", authorization=f"Bearer {key}")

    assert answer["outputs"]["y"] == X | {"name": "y"}


@pytest.mark.parametrize(
    ("way", "nobody", "another"),
    [
        ("http", "401", "403"),
        ("http-aio", "401", "403"),
        ("grpc", "StatusCode.UNAUTHENTICATED", "StatusCode.PERMISSION_DENIED"),
        ("grpc-aio", "StatusCode.UNAUTHENTICATED", "StatusCode.PERMISSION_DENIED"),
    ],
)
def test_without_it_or_for_other_models_it_is_told_why_not(infer, key, way, nobody, another):
    without = infer(way, "mine")
    foreign = infer(way, "other", authorization=f"Bearer {key}")

    assert (without["status"], foreign["status"]) == (nobody, another)
    assert "key" in without["error"]
    assert "key" in foreign["error"]
