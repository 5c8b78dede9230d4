"""A replica without a gateway, on a port of its own: what it answers, what it refuses, how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import joblib
import pytest
from sklearn.linear_model import LinearRegression

from prism_core.manifest import Manifest
from prism_core.protocols import ReplicaSpec

SLOW = """
import time
from prism_core.plugin import BaseModel, Batch, Loader, Signature, TensorSpec, hookimpl

class Slow(BaseModel):
    signature = Signature((TensorSpec("x", "FP64", (-1, 1)),), (TensorSpec("y", "FP64", (-1,)),))
    def predict(self, inputs):
        time.sleep(inputs["x"][0, 0])
        return Batch({"y": inputs["x"][:, 0]})
    def example(self):
        return Batch({"x": __import__("numpy").zeros((1, 1))})

@hookimpl
def prism_loaders():
    yield Loader("slow", (".slow",), lambda artifact: 0.0, lambda artifact, options: Slow())
"""


def write_spec(directory: Path, artifact: Path, loader: str, *plugins: str) -> Path:
    manifest = Manifest("line", 3, loader, loader, artifact.name, "sha256:0", 1, 0.0)
    (directory / "manifest.json").write_bytes(manifest.to_json())
    spec = ReplicaSpec(
        replica="line",
        manifest=directory / "manifest.json",
        artifact=artifact,
        directory=directory,
        plugins=plugins,
        warm=(),
        environment="server",
        python=sys.executable,
    )
    (directory / "spec.json").write_bytes(spec.to_json())
    return directory / "spec.json"


def begin(
    spec: Path, *flags: str, stdout: int | None = None, **variables: str
) -> tuple[subprocess.Popen, str]:
    """Start a replica on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    told = {"HOST": "127.0.0.1", "PORT": str(port), "PYTHONPATH": str(spec.parent), **variables}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PRISM_")}
    command = [sys.executable, "-m", "prism_core.runtime", str(spec), "--http", *flags]
    with (spec.parent / "log").open("wb") as log:
        process = subprocess.Popen(command, env=inherited | told, stderr=log, stdout=stdout)
    return process, f"http://127.0.0.1:{port}"


def until_ready(process: subprocess.Popen, url: str) -> None:
    for _ in range(600):
        assert process.poll() is None
        try:
            if httpx.get(f"{url}/v2/health/ready", timeout=60).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError("not ready")


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Yield the address of a linear model with a token."""
    directory = tmp_path_factory.mktemp("alone")
    joblib.dump(LinearRegression().fit([[0.0], [1.0]], [0, 2]), directory / "line.pkl")
    spec = write_spec(directory, directory / "line.pkl", "sklearn", "sklearn=prism_sklearn")
    process, url = begin(spec, PRISM_TOKEN="secret", PRISM_MAX_BODY="2MB", PRISM_MAX_CONNECTIONS="20")
    try:
        until_ready(process, url)
        yield url
    finally:
        process.kill()
        process.wait(10)


@pytest.fixture
def http(served):
    with httpx.Client(base_url=served, headers={"authorization": "Bearer secret"}) as client:
        yield client


@pytest.fixture
def slow(tmp_path):
    """Start a model that takes as long as it is told."""
    (tmp_path / "slow_plugin.py").write_text(SLOW)
    (tmp_path / "m.slow").touch()
    process, url = begin(write_spec(tmp_path, tmp_path / "m.slow", "slow", "slow=slow_plugin"))
    until_ready(process, url)
    yield process, url
    process.kill()
    process.wait(10)


# --- what it answers --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["/predict", "/model/line/predict", "/model/line/versions/3/predict", "/v1/models/line/predict"],
)
def test_it_predicts_as_a_server_does(http, path):
    answer = http.post(path, json={"input": [[1.0], [2.0]]})

    assert answer.json()["predictions"] == pytest.approx([2, 4])
    assert answer.headers["x-prism-model-version"] == "3"
    assert "compute;dur=" in answer.headers["server-timing"]


def test_it_speaks_kserves_first_protocol(http):
    assert http.post("/v1/models/line:predict", json={"instances": [[1.0]]}).json() == {
        "predictions": pytest.approx([2])
    }
    assert http.get("/v1/models/line").json() == {"name": "line", "ready": True}


def test_it_tells_what_the_open_inference_protocol_wants(http):
    assert http.get("/v2/health/live").json() == {"live": True}
    assert http.get("/v2/health/ready").json() == {"ready": True}
    assert http.get("/v2/models/line/ready").json() == {"name": "line", "ready": True}
    assert http.get("/v2/models/line/versions/3/ready").json() == {"name": "line", "ready": True}
    assert http.get("/v2").json().keys() == {"name", "version", "extensions"}
    assert http.get("/v2/models/line").json() == http.get("/v2/models/line/versions/3").json()
    assert http.get("/v2/models/line").json() == {
        "name": "line",
        "versions": ["3"],
        "platform": "sklearn",
        "inputs": [{"name": "input", "datatype": "FP64", "shape": [-1, 1]}],
        "outputs": [{"name": "predictions", "datatype": "FP64", "shape": [-1]}],
    }


def test_other_media_types_and_large_bodies(http):
    table = "x0\n" + "\n".join(str(float(n)) for n in range(60_000))
    assert len(table) > 256 * 1024
    headers = {"content-type": "text/csv; header=false", "accept": "text/csv"}
    answer = http.post("/predict", content=table.partition("\n")[2], headers=headers)

    assert answer.status_code == 200, answer.text
    lines = answer.text.splitlines()
    assert len(lines) == 60_001
    assert float(lines[-1]) == pytest.approx(2 * 59_999)


def test_many_clients_at_once(http, served):
    def ask(n):
        with httpx.Client(base_url=served, headers=dict(http.headers)) as client:
            return [
                client.post("/predict", json={"input": [[n + i]]}).json()["predictions"][0] for i in range(20)
            ]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(8)))
    assert answers == [[pytest.approx(2 * (n + i)) for i in range(20)] for n in range(8)]


def test_health_is_for_anybody_and_all_else_for_who_has_the_token(served):
    assert httpx.get(f"{served}/v2/health/ready").status_code == 200
    for path in ("/v2", "/health", "/v2/models/line/ready", "/nowhere"):
        answer = httpx.get(f"{served}{path}")
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    answer = httpx.post(f"{served}/predict", json=[[1]], headers={"authorization": "Bearer other"})
    assert answer.status_code == 401


def test_a_head_is_answered_without_a_body(http):
    answer = http.head("/v2/health/live")

    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", "13")


# --- what it refuses ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/nowhere", None, 404, "route_not_found"),
        ("POST", "/v2/models/line/infer", {}, 404, "route_not_found"),
        ("GET", "/predict", None, 405, "method_not_allowed"),
        ("DELETE", "/v2/health/live", None, 405, "method_not_allowed"),
        ("GET", "/v2/models/other", None, 404, "model_not_found"),
        ("POST", "/model/line/versions/2/predict", {}, 404, "model_not_found"),
        ("POST", "/predict", {"input": [[1, 2]]}, 422, "invalid_input"),
        ("POST", "/predict", {"input": [["x"]]}, 422, "invalid_input"),
        ("POST", "/predict", "x", 422, "invalid_input"),
    ],
)
def test_what_it_refuses_is_told_as_a_server_tells_it(http, method, path, body, status, code):
    answer = http.request(method, path, json=body)

    assert answer.status_code == status, answer.text
    document = answer.json()
    assert {"type", "title", "status", "code", "detail", "hint", "details"} <= document.keys()
    assert (document["code"], document["status"]) == (code, status)
    assert ("allow" in answer.headers) == (status == 405)


def test_a_body_that_is_too_large_is_refused_before_it_comes(http):
    """Also when the client goes on sending: it still gets the answer."""
    answer = http.post("/predict", content=b" " * 3_000_000)

    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")


def talk(url: str, data: bytes) -> bytes:
    """Send bytes; return all that comes until the other side ends the connection."""
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), 30) as connection:
        connection.sendall(data)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_frames_are_not_spoken_to_strangers(served):
    """What a gateway may say, DRAIN above all, would end the replica."""
    from prism_core import wire

    answer = talk(served, wire.encode(wire.Hello(token="secret")) + wire.encode(wire.Drain()) + b"\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert httpx.get(f"{served}/v2/health/ready").status_code == 200


def test_requests_one_behind_the_other_are_answered_in_order(served):
    one = b"GET /v2/health/%b HTTP/1.1\r\nHost: x\r\n%b\r\n"
    answer = talk(served, one % (b"live", b"") + one % (b"ready", b"Connection: close\r\n"))

    assert [part.splitlines()[-1] for part in answer.split(b"HTTP/1.1 200 OK")[1:]] == [
        b'{"live":true}',
        b'{"ready":true}',
    ]


def test_thousands_of_requests_in_one_piece_are_answered_in_order(served):
    """They wait where they are, in the kernel: more than a head's worth is not read ahead."""
    one = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /v2/health/ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = talk(served, one * 5000 + last)

    assert answer.count(b"HTTP/1.1 200 OK") == 5001
    assert answer.endswith(b'{"ready":true}')


def test_who_waits_for_leave_to_send_gets_it(served):
    body = b'{"input": [[1]]}'
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret\r\nConnection: close\r\n"
    host, _, port = served.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), 30) as connection:
        connection.sendall(head + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body))
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert connection.recv(100).startswith(b"HTTP/1.1 200 OK")


def test_beyond_its_bound_a_connection_is_told_that_there_is_no_room(served):
    host, _, port = served.removeprefix("http://").partition(":")
    opened = [socket.create_connection((host, int(port)), 30) for _ in range(20)]
    try:
        answer = talk(served, b"")
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1" in answer
    finally:
        for connection in opened:
            connection.close()
    for _ in range(100):
        if httpx.get(f"{served}/v2/health/live").status_code == 200:
            return
        time.sleep(0.02)
    raise AssertionError("there is still no room")


# --- how it ends ---------------------------------------------------------------------------------


def test_what_is_in_flight_is_answered_after_sigterm(slow):
    process, url = slow
    with ThreadPoolExecutor(1) as pool, httpx.Client() as client:
        assert client.get(f"{url}/v2/health/live").status_code == 200
        under_way = pool.submit(client.post, f"{url}/predict", json={"input": [[1.0]]}, timeout=30)
        while not in_flight(url):
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        answer = under_way.result()

    assert (answer.status_code, answer.json()["predictions"]) == (200, [1.0])
    assert answer.headers["connection"] == "close"
    assert process.wait(10) == 0


def in_flight(url: str) -> bool:
    """Whether a second request has to wait."""
    try:
        httpx.post(f"{url}/predict", json={"input": [[0.0]]}, timeout=0.2)
    except httpx.ReadTimeout:
        return True
    return False


def test_an_answer_that_does_not_come_in_time(slow):
    _, url = slow
    answer = httpx.post(
        f"{url}/predict", json={"input": [[1.0]]}, headers={"X-Prism-Timeout": "0.1"}, timeout=30
    )

    assert (answer.status_code, answer.json()["code"]) == (504, "deadline_exceeded")


def test_it_ends_at_once_while_it_loads(tmp_path):
    """The first process of a container is spared by signals that it did not ask for."""
    (tmp_path / "slow_plugin.py").write_text(
        SLOW.replace("yield Loader", "print('begun', flush=True)\n    time.sleep(60)\n    yield Loader")
    )
    (tmp_path / "m.slow").touch()
    process, _ = begin(
        write_spec(tmp_path, tmp_path / "m.slow", "slow", "slow=slow_plugin"), stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"begun\n"
    process.send_signal(signal.SIGTERM)

    assert process.wait(10) == 128 + signal.SIGTERM
    process.stdout.close()


def test_a_model_that_does_not_load_ends_it(tmp_path):
    (tmp_path / "line.pkl").write_bytes(b"no pickle")
    spec = write_spec(tmp_path, tmp_path / "line.pkl", "sklearn", "sklearn=prism_sklearn")
    process, _ = begin(spec)

    assert process.wait(60) == 1
    assert "model.load_failed" in (tmp_path / "log").read_text()


def test_flags_win_over_variables(tmp_path):
    from prism_core.runtime.__main__ import parser_of

    told = parser_of({"PORT": "9000", "PRISM_MAX_BODY": "1KB"}).parse_args(
        ["spec", "--http", "--port", "9001"]
    )
    assert (told.port, told.max_body, told.host, told.drain_s) == (9001, 1024, "0.0.0.0", 30.0)
    assert json.dumps(vars(parser_of({}).parse_args(["spec", "--http"])), default=str)
