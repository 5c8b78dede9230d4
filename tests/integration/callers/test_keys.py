"""API keys against a real server: what is open, what a key opens, and that a revoked one opens nothing."""

from __future__ import annotations

import http.client
import json
import socket
from urllib.parse import urlsplit

import httpx
import pytest

from prism_core.testing.server import ServerProcess
from tests.integration.callers.conftest import bearer, predict, predict_slowly

WAYS = pytest.mark.parametrize("ask", [predict, predict_slowly])
CLOSED = ["/model/m", "/model/none", "/v1/models", "/v1/models/m", "/v1/models/status", "/openapi.json", "/x"]


def refused(response: httpx.Response) -> dict:
    assert response.status_code == 401, response.text
    assert response.headers["www-authenticate"] == "Bearer"
    return response.json()


# --- without a key --------------------------------------------------------------------------


@WAYS
def test_without_a_key_nobody_predicts_and_nobody_learns_what_there_is(client, ask):
    told = [refused(ask(client, model=model)) for model in ("m", "none")]

    assert told[0] == told[1]
    assert told[0]["code"] == "unauthorized"


@pytest.mark.parametrize("path", CLOSED)
def test_without_a_key_nobody_reads(client, path):
    refused(client.get(path))


def test_health_is_open(client):
    paths = ("/health/live", "/health/ready", "/v1/health")

    assert [client.get(path).status_code for path in paths] == [200] * 3


@WAYS
@pytest.mark.parametrize("key", ["prism_", f"prism_{'0' * 8}_{'0' * 64}", "secret"])
def test_a_wrong_key_is_refused(client, ask, key):
    refused(ask(client, key))


def test_a_key_in_the_url_is_nothing(client, make_key):
    _, key = make_key()
    for name in ("key", "api_key", "access_token", "token", "x-api-key"):
        refused(client.post(f"/model/m/predict?{name}={key}", json={"input": [[1.0]]}))


def test_two_authorization_headers_are_refused(server, make_key):
    _, key = make_key()
    body = b'{"input": [[1.0]]}'
    head = (
        f"POST /model/m/predict HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
        f"Authorization: Bearer {key}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall(head.encode() + body)
        assert connection.recv(100).startswith(b"HTTP/1.1 401 ")


def test_a_large_body_without_a_key_is_refused_before_it_is_sent(server):
    address = urlsplit(server.url)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=10)
    connection.putrequest("POST", "/model/m/predict")
    connection.putheader("Content-Length", "9000000")
    connection.endheaders(b"[" * 1000)

    assert connection.getresponse().status == 401
    connection.close()


# --- with a key -----------------------------------------------------------------------------


@WAYS
def test_a_key_opens_its_model_and_no_other(client, make_key, ask):
    _, key = make_key("m")
    answer = ask(client, key)
    others = [ask(client, key, model=model) for model in ("other", "none")]

    assert answer.json()["predictions"] == [2.0]
    assert [response.status_code for response in others] == [403, 403]
    assert others[0].text.replace("other", "none") == others[1].text


def test_x_api_key_opens_too(client, make_key):
    _, key = make_key("m")

    assert predict(client, **{"X-API-Key": key}).status_code == 200


def test_a_key_sees_its_models_only(client, make_key):
    _, one = make_key("m")
    _, every = make_key()
    seen = {key: client.get("/v1/models", headers=bearer(key)).json()["models"] for key in (one, every)}
    document = client.get("/openapi.json", headers=bearer(one)).text
    status = client.get("/v1/models/status", headers=bearer(one)).json()["models"]

    assert seen == {one: ["m"], every: ["m", "other"]}
    assert "other" not in document
    assert "securitySchemes" in document
    assert [model["name"] for model in status] == ["m"]
    assert client.get("/model/m", headers=bearer(one)).json()["curl"].count("$PRISM_KEY") == 1
    assert client.get("/model/other", headers=bearer(one)).status_code == 403


def test_a_key_for_pages_does_not_predict(client, make_key):
    _, key = make_key("m", scopes=["read"])

    assert client.get("/model/m", headers=bearer(key)).status_code == 200
    assert predict(client, key).status_code == 403


def test_a_hint_names_no_other_model(client, make_key):
    _, key = make_key("othe")
    answers = [
        predict(client, key, model="othe"),
        predict_slowly(client, key, model="othe"),
        client.get("/model/othe", headers=bearer(key)),
    ]

    assert [answer.status_code for answer in answers] == [404] * 3
    assert not any("other" in answer.text for answer in answers)


@WAYS
def test_a_refused_caller_gets_no_kept_answer(client, make_key, ask):
    _, key = make_key("m")
    _, other = make_key("other")
    assert [ask(client, key).headers["x-prism-cache"] for _ in range(2)][-1] == "hit"

    refused(ask(client))
    assert ask(client, other).status_code == 403


def test_an_expired_key_opens_nothing(client, make_key):
    _, key = make_key(expires_s=0.01)
    while predict(client, key).status_code == 200:  # made and used within its hundredth of a second
        continue

    assert refused(predict(client, key))["detail"] == "This key has expired."


# --- revoked ----------------------------------------------------------------------------------


def test_a_revoked_key_opens_nothing_on_a_connection_that_it_opened(server, client, make_key):
    """The head is known by its bytes by then, and its answer is in the cache."""
    key_id, key = make_key("m")
    _, other = make_key("m")
    assert [predict(client, key).status_code for _ in range(5)] == [200] * 5
    server.run("keys", "revoke", key_id)

    refused(predict(client, key))
    refused(predict_slowly(client, key))
    refused(client.get("/model/m", headers=bearer(key)))
    assert predict(client, other).status_code == 200


def test_what_keys_list_tells(server, client):
    limits = ("--rate", "50/s", "--quota", "100", "--expires", "2h")
    made = server.json("keys", "create", "--model", "m", "--name", "ann", *limits)
    predict(client, made["key"])
    listed = {one["id"]: one for one in server.json("keys", "list")}[made["id"]]
    table = server.run("keys", "list").stdout

    assert made["last_used"] is None
    assert listed["last_used"] >= made["created"]
    assert listed["expires"] == made["created"] + 7200
    assert (listed["name"], listed["rate"], listed["models"]) == ("ann", "50/s", ["m"])
    assert all(word in table for word in (made["id"], "ann", "50/s", "just now"))
    assert made["key"].rpartition("_")[2] not in table


# --- restart, other modes, followers -------------------------------------------------------------


def test_keys_outlive_a_restart_and_no_secret_lies_on_the_disk(tmp_path, models):
    data = tmp_path / "data"
    with ServerProcess(data, "--auth", "keys") as server:
        server.upload(models / "2.pkl", "--name", "m")
        kept, gone = (server.json("keys", "create", "--name", name) for name in ("kept", "gone"))
        with httpx.Client(base_url=server.url, timeout=30) as client:
            predict(client, kept["key"])
        server.run("keys", "revoke", gone["id"])
        (before,) = server.json("keys", "list")
    for path in (*data.rglob("*"), server.log):
        if path.is_file():
            assert kept["key"].rpartition("_")[2].encode() not in path.read_bytes(), path
    with (
        ServerProcess(data, "--auth", "keys") as server,
        httpx.Client(base_url=server.url, timeout=30) as client,
    ):
        assert predict(client, kept["key"]).json()["predictions"] == [2.0]
        refused(predict(client, gone["key"]))
        (after,) = server.json("keys", "list")
    assert (before["used"], after["used"]) == (1, 2)
    assert after["last_used"] > before["last_used"]
    changed = ("used", "last_used")
    assert {k: v for k, v in after.items() if k not in changed} == {
        k: v for k, v in before.items() if k not in changed
    }


# --- the admin routes and the command line ---------------------------------------------------------


@pytest.mark.parametrize(
    "wish",
    [
        {"models": "m"},
        {"models": ["../m"]},
        {"scopes": ["admin"]},
        {"scopes": []},
        {"rate": "often"},
        {"quota": -1},
        {"quota": "many"},
        {"expires_s": -1},
        {"name": 7},
    ],
    ids=str,
)
def test_a_key_that_cannot_be_is_not_made(server, wish):
    token = (server.data_dir / "admin-token").read_text()
    url = f"{server.facts['admin']}/admin/v1/keys"
    before = httpx.get(url, headers=bearer(token)).json()
    refused = httpx.post(url, json=wish, headers=bearer(token))

    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_parameter")
    assert httpx.get(url, headers=bearer(token)).json() == before


def test_predict_on_the_command_line_takes_a_key(server, make_key):
    _, key = make_key("m")
    link, rows = f"{server.url}/model/m/predict", ("--input", "[[1.0]]", "--json")
    without = server.run("predict", link, *rows, check=False)

    assert json.loads(server.run("predict", link, *rows, "--key", key).stdout)["predictions"] == [2.0]
    assert without.returncode == 1
    assert "PRISM_KEY" in json.loads(without.stderr)["error"]["hint"]


def test_what_is_said_of_unknown_models_and_keys(server):
    made = server.run("keys", "create", "--model", "chrun")
    revoked = server.run("keys", "revoke", "ffffffff", check=False)

    assert "There is no model 'chrun' yet." in made.stderr
    assert made.stdout.startswith("prism_")
    assert revoked.returncode == 1
    assert "prism keys list" in revoked.stderr
