"""The routes that are no predictions, on both listeners of a real server."""

from __future__ import annotations

import json
import socket
import time

import httpx
import pytest

from .conftest import asked, error_of

READS = [
    "/v2",
    "/v2/",
    "/v2/health/live",
    "/v2/health/ready",
    "/v2/models/stats",
    "/v2/models/line",
    "/v2/models/line@champion",
    "/v2/models/line/versions/1",
    "/v2/models/line/versions/champion",
    *(
        f"/v2/models/{reference}/{verb}"
        for reference in ("line", "line@champion", "line/versions/1", "line/versions/champion")
        for verb in ("ready", "config", "stats")
    ),
]


@pytest.mark.parametrize("path", READS)
def test_whatever_is_read_is_there_for_the_public_and_the_owner(client, owner, path):
    for asking in (client, owner):
        answer, head = asking.get(path), asking.head(path)

        assert (answer.status_code, head.status_code) == (200, 200)
        assert answer.headers["content-type"] == head.headers["content-type"] == "application/json"
        assert head.content == b""
        if "stats" not in path:  # they may have changed meanwhile
            assert head.headers["content-length"] == str(len(answer.content))


@pytest.mark.parametrize("path", READS)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_other_methods_are_told_which_there_are(client, path, method):
    answer = client.request(method, path)

    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
    error_of(answer)


@pytest.mark.parametrize("path", ["/v2/repository/index", "/v2/models/line/infer"])
def test_what_is_posted_cannot_be_got(client, path):
    answer = client.get(path)

    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    error_of(answer)


@pytest.mark.parametrize(
    "path",
    [
        "/v2/nothing",
        "/v2/models",
        "/v2/models/nope",
        "/v2/models/line/versions/9/ready",
        "/v2/models/line@nope/config",
        "/v2/models/nope/stats",
        "/v2/models/line/versions/99999999999999999999999/stats",
        "/v2/models/%2e%2e/%2e%2e/ready",
        "/v2/models/%0d%0aX-Evil:%201/ready",
        "/v2/models/%ff/ready",
        f"/v2/models/{'a' * 4000}/ready",
        "/v2/%00",
        "/v2/../v2/models/nope",
        "/v2//models/line",
    ],
)
def test_what_is_not_there(client, owner, path):
    for asking in (client, owner):
        answer = asking.get(path)

        assert answer.status_code == 404
        assert "x-evil" not in answer.headers
        error_of(answer)


def test_each_listener_says_what_it_has(client, owner):
    public, theirs = client.get("/v2").json(), owner.get("/v2").json()

    assert public["name"] == theirs["name"] == "prism"
    assert public["extensions"] == ["binary_tensor_data", "model_configuration", "parameters", "statistics"]
    assert "model_repository" in theirs["extensions"]
    assert "binary_tensor_data" not in theirs["extensions"]


def test_metadata(client):
    assert client.get("/v2/models/line").json() == {
        "name": "line",
        "versions": ["1", "2"],
        "platform": "sklearn",
        "inputs": [{"name": "input", "datatype": "FP64", "shape": [-1, 2]}],
        "outputs": [{"name": "predictions", "datatype": "FP64", "shape": [-1]}],
    }
    columns = client.get("/v2/models/plans").json()["inputs"]
    assert {(one["name"], one["datatype"], tuple(one["shape"])) for one in columns} == {
        ("tenure", "FP64", (-1, 1)),
        ("plan", "BYTES", (-1, 1)),
    }


def test_configuration(client):
    config = client.get("/v2/models/counted/config").json()

    assert config["max_batch_size"] == 8
    assert config["input"] == [{"name": "seconds", "data_type": "TYPE_FP64", "dims": [1]}]


# --- the repository ---------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["load", "unload"])
def test_the_public_finds_nothing_that_changes_the_server(client, verb):
    for method in ("POST", "GET", "OPTIONS"):
        answer = client.request(method, f"/v2/repository/models/line/{verb}")
        nothing = client.request(method, "/v2/nothing")

        assert (answer.status_code, answer.content) == (nothing.status_code, nothing.content)
        assert answer.status_code == 404


@pytest.mark.parametrize("path", [*READS[:5], "/v2/repository/models/line/unload"])
def test_the_owner_is_who_has_the_token(server, path):
    verb = "POST" if path.endswith("unload") else "GET"
    answer = httpx.request(verb, server.facts["admin"] + path)

    assert answer.status_code == 401
    error_of(answer)


def test_predictions_are_not_asked_of_the_admin_listener(owner):
    assert owner.post("/v2/models/line/infer", json=asked()).status_code == 404


def test_a_model_is_unloaded_and_loaded_again(client, owner):
    def states(**wanted):
        found = client.post("/v2/repository/index", json=wanted).json()
        return {one["version"]: one["state"] for one in found if one["name"] == "plans"}

    assert states() == {"1": "READY"}
    unloaded = owner.post("/v2/repository/models/plans/unload")
    gone = (client.get("/v2/models/plans/ready"), client.post("/v2/models/plans/infer", json=asked()))
    meanwhile = (states(), states(ready=True))
    reason = client.get("/v2/models/plans/ready").json()["error"]
    loaded = owner.post("/v2/repository/models/plans/load")
    again = owner.post("/v2/repository/models/plans/load")

    assert (unloaded.status_code, unloaded.json()) == (200, {"name": "plans", "unload": True})
    assert [answer.status_code for answer in gone] == [503, 404]
    assert meanwhile == ({"1": "UNAVAILABLE"}, {})
    assert "STOPPED" in reason
    assert [answer.status_code for answer in (loaded, again)] == [200, 200]
    assert states(ready=True) == {"1": "READY"}
    assert client.get("/v2/models/plans/ready").json() == {"name": "plans", "ready": True}


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("models/line/load", b'{"parameters": {"config": "{}"}}', 400),
        ("models/line/load", b'{"parameters": {"file:1/model.onnx": "AAAA"}}', 400),
        ("models/line/unload", b'{"parameters": {"unload_dependents": "yes"}}', 400),
        ("models/nope/load", b"", 404),
        ("models/nope/unload", b"", 404),
        ("index", b"{", 400),
        ("index", b"\xff\xfe", 400),
        ("index", b" " * 1_100_000, 413),
    ],
)
def test_what_cannot_be_done_is_told(owner, path, body, status):
    answer = owner.post(f"/v2/repository/{path}", content=body)

    assert answer.status_code == status
    error_of(answer)


# --- beside them ------------------------------------------------------------------------------------


def test_pages_of_other_origins(client):
    page = {"origin": "https://page.test"}
    sent = {"access-control-request-method": "POST", "access-control-request-headers": "content-encoding"}
    preflight = client.options("/v2/models/line/infer", headers=page | sent)
    answers = [
        client.post("/v2/models/line/infer", json=asked(), headers=page),
        client.get("/v2", headers=page),
    ]

    assert preflight.status_code == 204
    allowed = preflight.headers["access-control-allow-headers"]
    assert "inference-header-content-length" in allowed
    assert "content-encoding" in allowed
    for answer in answers:
        assert answer.headers["access-control-allow-origin"] == "https://page.test"
        assert "inference-header-content-length" in answer.headers["access-control-expose-headers"]


def test_the_access_log_has_a_line_for_each(client, server):
    ids = [f"logged-{n}" for n in range(3)]
    client.post("/v2/models/line/infer", json=asked(), headers={"x-request-id": ids[0]})
    client.get("/v2/models/line/ready", headers={"x-request-id": ids[1]})
    client.get("/v2/nothing", headers={"x-request-id": ids[2]})

    lines = logged(server, ids)

    assert [(line["path"], line["status"]) for line in lines] == [
        ("/v2/models/line/infer", 200),
        ("/v2/models/line/ready", 200),
        ("/v2/nothing", 404),
    ]


def logged(server, ids):
    """Return the lines of the access log with some ids, once they are all there."""
    ends = time.monotonic() + 20
    while time.monotonic() < ends:
        text = (server.data_dir / "access.log").read_text().splitlines()
        found = {line["request"]: line for line in map(json.loads, text) if line.get("request") in ids}
        if len(found) == len(ids):
            return [found[one] for one in ids]
        time.sleep(0.02)
    raise AssertionError("the access log has no such lines")


def test_a_tunnel_leads_to_no_such_route(server, owner):
    link = owner.post("/admin/v1/links", json={"model": "line", "tunnel": "straight"})
    assert link.status_code == 200, link.text
    (tunnel,) = [one for one in owner.get("/admin/v1/tunnels").json()["tunnels"] if one["name"] == "straight"]

    with httpx.Client(base_url=tunnel["url"]) as client:
        found = [client.get(path).status_code for path in READS]
        asking = client.post("/v2/models/line/infer", json=asked())

    assert tunnel["url"] != server.url
    assert set(found) == {404}
    assert asking.status_code == 404


def test_a_client_that_leaves_in_the_middle_of_a_body_leaves_nothing_behind(server, client):
    url = httpx.URL(server.url)
    for _ in range(20):
        with socket.create_connection((url.host, url.port)) as sock:
            sock.sendall(b'POST /v2/repository/index HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"')

    assert client.post("/v2/repository/index").status_code == 200
