"""A protocol of a plugin, the whole way: two gateways, replicas, a face, and a replica by itself."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import joblib
import pytest
from sklearn.linear_model import LinearRegression

from prism_core.filling import LARGE_BYTES
from prism_core.testing.server import ServerProcess
from tests.integration.gateways.conftest import to_each
from tests.integration.test_runtime_alone import begin, until_ready, write_spec

PLUGIN = Path(__file__).with_name("prism_toy.py")


def site_of(directory: Path) -> Path:
    """Install the plugin into a directory."""
    info = directory / "prism_toy-1.0.dist-info"
    info.mkdir(parents=True)
    shutil.copy(PLUGIN, directory)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: prism-toy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[prism]\ntoy = prism_toy\n")
    return directory


def doubler(directory: Path) -> Path:
    joblib.dump(LinearRegression().fit([[0.0], [1.0]], [0, 2]), directory / "line.pkl")
    return directory / "line.pkl"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Two gateways with the plugin, whose model doubles."""
    directory = tmp_path_factory.mktemp("toy")
    flags = ("--gateways", "2", "--plugins", "toy,sklearn")
    config = "limits: {max_body: 2MB}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(site_of(directory / "site")))
        with ServerProcess(directory / "data", *flags, config=config) as server:
            server.upload(doubler(directory), "--name", "line", "--alias", "champion")
            yield server


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A replica of the same model that is asked by itself."""
    directory = tmp_path_factory.mktemp("alone")
    spec = write_spec(directory, doubler(directory), "sklearn", "sklearn=prism_sklearn")
    line = b'"sklearn=prism_sklearn"'
    spec.write_bytes(spec.read_bytes().replace(line, line + b',"toy=prism_toy"'))
    shutil.copy(PLUGIN, directory)
    process, url = begin(spec, PRISM_TOKEN="secret", PRISM_MAX_BODY="2MB")
    try:
        until_ready(process, url)
        with httpx.Client(base_url=url, headers={"authorization": "Bearer secret"}) as client:
            yield client
    finally:
        process.kill()
        process.wait(10)


@pytest.fixture(scope="module", params=["leader", "follower", "alone"])
def client(request):
    """Whoever answers."""
    if request.param == "alone":
        yield request.getfixturevalue("alone")
        return
    with to_each(request.getfixturevalue("server")) as clients:
        yield list(clients.values())[request.param == "follower"]


def test_it_is_asked_and_answered_in_its_own_words(client):
    calm = client.post("/toy/line", content=b"a:1,2,3")
    hurried = client.post("/toy/line", content=b"b:4", headers={"x-toy-hurry": "1"})

    assert (calm.text, hurried.text) == ("a:2,4,6", "b:8")
    assert calm.headers["content-type"] == "text/x-toy"
    assert {"server-timing", "x-prism-batch", "x-prism-model-version"} <= calm.headers.keys()
    assert "x-toy-hurry" not in calm.headers
    assert hurried.headers["x-toy-hurry"] == "yes"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("POST", "/toy/line", b"a:x", 400, "malformed_body"),
        ("POST", "/toy/none", b"a:1", 404, "model_not_found"),
        ("POST", "/toy/line/77", b"a:1", 404, "model_not_found"),
        ("GET", "/toy/line", b"", 405, "method_not_allowed"),
        ("POST", "/toy/line", b"1" * 3_000_000, 413, "payload_too_large"),
    ],
)
def test_what_is_refused_is_told_in_its_words(client, method, path, body, status, words):
    answer = client.request(method, path, content=body)

    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/x-toy-problem")
    assert answer.text.startswith(words)
    assert answer.headers.get("allow") == ("POST" if status == 405 else None)


def test_a_packed_body_is_not_read(client):
    answer = client.post("/toy/line", content=b"a:1", headers={"content-encoding": "gzip"})

    assert (answer.status_code, answer.text.split()[0]) == (415, "unsupported_input")


def test_large_bodies_and_answers_are_whole(client):
    values = [n % 1000 for n in range(100_000)]
    body = b"large:" + b",".join(b"%d" % value for value in values)
    assert len(body) > LARGE_BYTES

    answer = client.post("/toy/line", content=body)

    assert answer.text == "large:" + ",".join(str(2 * value) for value in values)


def test_those_who_ask_in_different_ways_are_answered_each_in_its_own(server):
    """In whichever batch they are computed."""

    def ask(n):
        with httpx.Client(base_url=server.url, timeout=60) as client:
            for i in range(25):
                toy = client.post("/toy/line", content=b"%d-%d:%d" % (n, i, i))
                native = client.post("/model/line/predict", json={"input": [[i]]})
                assert toy.text == f"{n}-{i}:{2 * i}"
                assert native.json()["predictions"] == [pytest.approx(2 * i)]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(8)))


@pytest.mark.parametrize("path", ["line/1", "line/champion", "line@champion", "line/latest", "%6cine/01"])
def test_a_version_is_a_number_or_an_alias(server, path):
    assert httpx.post(f"{server.url}/toy/{path}", content=b"a:1").text == "a:2"


def test_an_answer_is_kept_for_its_own_protocol_alone(server):
    said = [httpx.post(f"{server.url}/toy/line", content=b"kept:5") for _ in range(2)]

    assert [answer.text for answer in said] == ["kept:10"] * 2


def test_a_face_sees_the_server(server):
    told = httpx.get(f"{server.url}/toys").json()

    assert told == [["line", 1, True, ["latest", "champion"]]]
    assert httpx.get(f"{server.url}/toys/line").text == "web:42"
    refused = httpx.get(f"{server.url}/toys/none")
    assert (refused.status_code, refused.headers["content-type"]) == (404, "text/x-toy-problem")


def test_a_replica_by_itself_says_what_it_has(alone):
    assert alone.get("/v2").json()["extensions"] == ["hurry"]
    refused = httpx.post(f"{alone.base_url}/toy/line", content=b"a:1")
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    assert refused.text.startswith("unauthorized")
