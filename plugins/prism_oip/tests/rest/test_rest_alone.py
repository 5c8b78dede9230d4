"""A replica that is asked by HTTP itself, as in an exported image, answers predictions of the protocol."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from prism_core.manifest import Manifest
from prism_core.protocols import ReplicaSpec

HEADER = "Inference-Header-Content-Length"


def spec_of(directory: Path, artifact: Path) -> Path:
    """Write what a replica of a scikit-learn model is started with."""
    manifest = Manifest("line", 3, "sklearn", "sklearn", artifact.name, "sha256:0", 1, 0.0)
    (directory / "manifest.json").write_bytes(manifest.to_json())
    plugins = ("sklearn=prism_sklearn", "oip=prism_oip")
    spec = ReplicaSpec(
        "line", directory / "manifest.json", artifact, directory, plugins, (), "server", sys.executable
    )
    (directory / "spec.json").write_bytes(spec.to_json())
    return directory / "spec.json"


@pytest.fixture(scope="module")
def alone(models, tmp_path_factory):
    """A client of a replica on a free port, with a token."""
    directory = tmp_path_factory.mktemp("alone")
    spec = spec_of(directory, models / "line.pkl")
    command = [sys.executable, "-m", "prism_core.runtime", str(spec), "--http", "--host", "127.0.0.1"]
    with (directory / "log").open("wb") as log:
        port = free_port()
        environment = os.environ | {"PRISM_TOKEN": "secret", "PORT": str(port)}
        process = subprocess.Popen(command, env=environment, stderr=log)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            until_ready(process, client)
            client.headers["authorization"] = "Bearer secret"
            yield client
    finally:
        process.kill()
        process.wait(10)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until_ready(process: subprocess.Popen, client: httpx.Client) -> None:
    for _ in range(600):
        assert process.poll() is None
        try:
            if client.get("/v2/health/ready").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError("not ready")


@pytest.mark.parametrize("path", ["/v2/models/line/infer", "/v2/models/line/versions/3/infer"])
def test_json(alone, path):
    tensor = {"name": "input", "shape": [2, 2], "datatype": "FP64", "data": [[1, 1], [2, 1]]}
    answer = alone.post(path, json={"id": "a-1", "inputs": [tensor]}).json()

    assert answer["outputs"][0]["data"] == pytest.approx([5, 7])
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("a-1", "line", "3")


def test_raw_tensors(alone):
    tensor = {"name": "input", "shape": [1, 2], "datatype": "FP64", "parameters": {"binary_data_size": 16}}
    said = {"inputs": [tensor], "parameters": {"binary_data_output": True}}
    head = json.dumps(said).encode()
    answer = alone.post(
        "/v2/models/line/infer",
        content=head + struct.pack("<2d", 1, 1),
        headers={HEADER: str(len(head))},
    )

    size = int(answer.headers[HEADER])
    (output,) = json.loads(answer.content[:size])["outputs"]
    assert output["parameters"] == {"binary_data_size": 8}
    assert struct.unpack("<d", answer.content[size:]) == pytest.approx((5,))


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("POST", "/v2/models/other/infer", {}, 404),
        ("POST", "/v2/models/line/versions/2/infer", {}, 404),
        ("GET", "/v2/models/line/infer", {}, 405),
        ("POST", "/v2/models/line/infer", {HEADER: "many"}, 400),
        ("POST", "/v2/models/line/infer", {"content-encoding": "br"}, 415),
        ("POST", "/v2/models/line/infer", {"authorization": "Bearer other"}, 401),
        ("POST", "/v2/models/line/infer", {}, 400),
    ],
)
def test_what_is_refused_is_one_string(alone, method, path, headers, status):
    answer = alone.request(method, path, headers=headers, content=b"{}")

    assert answer.status_code == status
    assert answer.json().keys() == {"error"}
    assert ("www-authenticate" in answer.headers) == (status == 401)


def test_it_says_what_it_has(alone):
    assert alone.get("/v2").json()["extensions"] == ["binary_tensor_data", "parameters"]
