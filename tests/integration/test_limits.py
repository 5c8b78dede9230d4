"""The limits of the settings where they hold: in a replica, and at a listener."""

from __future__ import annotations

import gzip
import json
import socket

import httpx
import joblib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from prism_core.testing.server import ServerProcess

CONFIG = "limits: {max_values: 40, max_depth: 6, max_files: 2}"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    root = tmp_path_factory.mktemp("limits")
    path = root / "toy.joblib"
    joblib.dump(LogisticRegression().fit(np.array([[0.0, 1], [1, 0], [2, 2], [3, 1]]), [0, 1, 0, 1]), path)
    with ServerProcess(root / "data", config=CONFIG) as server:
        server.upload(path, "--name", "toy")
        yield server


def asked(server, body, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.post(f"{server.url}/model/toy/predict", content=body, headers=named)


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (json.dumps({"input": [[1, 2]] * 20}).encode(), 200, "predictions"),
        (json.dumps({"input": [[1, 2]] * 21}).encode(), 413, "limits.max_values"),
        (b'{"input": [[1, 2]], "parameters": {"a": [[[[[[]]]]]]}}', 400, "limits.max_depth"),
    ],
)
def test_a_replica_knows_the_limits(server, body, status, said):
    answer = asked(server, body)

    assert (answer.status_code, said in answer.text) == (status, True)


def test_a_packed_body_is_refused(server):
    answer = asked(server, gzip.compress(b'{"input": [[1, 2]]}'), content_encoding="gzip")

    assert answer.status_code == 415


def test_a_directory_of_too_many_files_is_refused(server, tmp_path):
    for name in ("a.onnx", "b.bin", "c.bin"):
        (tmp_path / name).write_bytes(b"x")
    done = server.run("upload", str(tmp_path), "--name", "many", check=False)

    assert done.returncode == 1
    assert "limits.max_files" in done.stderr


TARGETS = ["http://prism", "*", "prism:80", f"/model/x/versions/{'9' * 5000}/predict"]


@pytest.mark.parametrize("target", TARGETS)
def test_an_odd_target_is_answered(server, target):
    """Two of them ended the connection without a word, or with a 500."""
    url = httpx.URL(server.url)
    with socket.create_connection((url.host, url.port), timeout=10) as connection:
        connection.sendall(f"POST {target} HTTP/1.1\r\nHost: prism\r\nContent-Length: 0\r\n\r\n".encode())
        head = connection.recv(1000)

    assert head.split(b" ")[1] in (b"400", b"404", b"405")
