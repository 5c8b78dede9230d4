"""Two gateways answer as one: the same answers, limits, pages and numbers, whichever accepts."""

from __future__ import annotations

import socket

import httpx
import psutil
import pytest

from prism_core.testing.server import ServerProcess
from tests.integration.gateways.conftest import factor, followers, predict, requests_counted, to_each


@pytest.fixture
def clients(server):
    with to_each(server) as clients:
        yield list(clients.values())


def undated(response: httpx.Response) -> list[tuple[str, str]]:
    own = ("date", "x-request-id")
    return [(name, value) for name, value in response.headers.multi_items() if name not in own]


def test_both_gateways_predict(clients):
    assert [factor(client) for client in clients] == [2, 2]


@pytest.mark.parametrize("reference", ["m", "m@latest", "m/versions/1"])
def test_every_reference(clients, reference):
    assert [factor(client, reference) for client in clients] == [2, 2]


@pytest.mark.parametrize(
    "path", ["/model/m", "/v1/models", "/v1/models/m/metadata", "/health/ready", "/openapi.json", "/nothing"]
)
def test_a_page_is_the_same_from_both(clients, path):
    leader, follower = (client.get(path) for client in clients)

    assert (leader.status_code, leader.content) == (follower.status_code, follower.content)
    assert undated(leader) == undated(follower)


def test_the_form_of_a_page_is_answered_by_both(clients):
    """Pages are the leader's: a follower hands the form on."""
    html = {"Accept": "text/html"}
    shown = [client.get("/model/m", headers=html) for client in clients]
    told = [client.post("/model/m", data={"way": "fields", "c0": "3"}, headers=html) for client in clients]

    assert shown[0].text == shown[1].text
    assert [answer.status_code for answer in told] == [200, 200]
    assert all('<p class="prediction"' in answer.text for answer in told)


def test_head_is_answered_without_a_body(clients):
    leader, follower = (client.head("/model/m") for client in clients)

    assert follower.content == b""
    assert undated(leader) == undated(follower)


def test_a_body_is_handed_on_whole(clients):
    """No route takes it, but the leader has to read it all before it can say so on the same connection."""
    for content in (b"x" * 50_000, iter([b"x" * 1000] * 50)):
        for client in clients:
            assert client.post("/nowhere", content=content).status_code == 404
            assert factor(client) == 2


ERRORS = {
    "no model": (lambda client: predict(client, reference="nix"), 404, "model_not_found"),
    "no alias": (lambda client: predict(client, reference="m@nix"), 404, "model_not_found"),
    "no version": (lambda client: predict(client, reference="m/versions/9"), 404, "model_not_found"),
    "large": (
        lambda client: client.post("/model/m/predict", content=b"x" * 100_001),
        413,
        "payload_too_large",
    ),
    "large in chunks": (
        lambda client: client.post("/model/m/predict", content=iter([b"x" * 50_000] * 3)),
        413,
        "payload_too_large",
    ),
    "no JSON": (lambda client: client.post("/model/m/predict", content=b"{"), 400, "malformed_body"),
    "no time": (lambda client: predict(client, headers={"x-prism-timeout": "-1"}), 400, "malformed_body"),
    "no method": (lambda client: client.delete("/model/m"), 405, "method_not_allowed"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_an_error_is_the_same_from_both(clients, case):
    send, status, code = ERRORS[case]
    leader, follower = (send(client) for client in clients)

    assert (leader.status_code, leader.json()["code"]) == (status, code)
    assert leader.json() == follower.json()


def test_the_number_of_requests_is_exact(server, clients):
    before = requests_counted(server)
    for _ in range(25):
        for client in clients:
            predict(client)
    for client in clients:
        client.post("/model/m/predict", content=b"{")

    after = requests_counted(server)

    assert after["1", "ok"] - before.get(("1", "ok"), 0) == 50
    assert after["1", "malformed_body"] - before.get(("1", "malformed_body"), 0) == 2


def test_each_gateway_keeps_answers_of_its_own(clients):
    for client in clients:
        assert predict(client, 77.0).headers["x-prism-cache"] == "miss"
        assert predict(client, 77.0).headers["x-prism-cache"] == "hit"


def test_what_is_handed_on_says_who_asks_only_to_the_leader(server, clients):
    """A caller cannot pass for another one: what he says of himself is not handed on."""
    _, follower = clients

    assert follower.get("/health/live", headers={"x-prism-client": "10.0.0.1 5"}).status_code == 200


def test_a_client_that_leaves_harms_nobody(server, clients):
    host, port = httpx.URL(server.url).host, httpx.URL(server.url).port
    for _ in range(20):
        with socket.create_connection((host, port)) as connection:
            connection.sendall(b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nx")

    assert [factor(client) for client in clients] == [2, 2]


def test_the_server_tells_how_many_there_are(server):
    assert server.facts["gateways"] == 2
    assert len(followers(server)) == 1


def test_only_the_public_port_is_shared(server):
    """No follower can be uploaded to: it does not listen on the admin port, nor on any other."""
    port = httpx.URL(server.url).port
    for follower in followers(server):
        listening = [c for c in follower.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
        assert [c.laddr.port for c in listening] == [port]


def test_the_private_socket_is_the_owners_alone(server):
    run = (server.data_dir / "run").read_text()

    assert psutil.os.stat(run).st_mode & 0o077 == 0


def test_a_port_that_two_gateways_share_is_taken_for_others(server, tmp_path):
    port = str(httpx.URL(server.url).port)
    second = ServerProcess(tmp_path / "second", "--gateways", "2", "--port", port)
    with pytest.raises(AssertionError):
        second.start()
    second.stop()

    assert f"Port {port} on 127.0.0.1 is taken" in second.log.read_text()


def test_one_gateway_starts_no_other(make_server):
    server = make_server(count=1)

    assert followers(server) == []
    assert server.facts["gateways"] == 1
