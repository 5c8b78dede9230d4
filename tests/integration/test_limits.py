"""Limits at a real server: who is refused, how, and for how long."""

from __future__ import annotations

import itertools
import json
import re
import socket
import time

import httpx
import pytest

from prism_core.testing.server import ServerProcess

CITIES = {"format": "lookup", "key": "city", "default": 1.0, "values": {"Paris": 3.0}}
PATH = "/model/cities/predict"
ROW = b'[{"city": "Paris"}]'
# Two at once, and one a second: enough for a busy machine to ask thrice within.
ADDRESS = {"ratelimit-policy": '"address";q=2;w=2', "ratelimit": '"address";r=%d;t=1'}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server behind a proxy on this machine, so that each test has addresses of its own."""
    directory = tmp_path_factory.mktemp("limits")
    artifact = directory / "cities.lookup.json"
    artifact.write_text(json.dumps(CITIES))
    named = {"path": str(artifact), "loader": "lookup"}
    config = {
        "models": {"cities": named, "rare": named | {"rate": "1/h"}, "large": named},
        "rates": {"address": "2/2s"},
        "trusted_proxies": ["127.0.0.1"],
        "load": ["lookup"],
    }
    with ServerProcess(directory / "data", config=json.dumps(config)) as server:
        with httpx.Client(base_url=server.url) as client:
            for _ in range(1000):
                if client.get("/health/ready").status_code == 200:
                    break
                time.sleep(0.02)
        yield server


addresses = itertools.count(1)


@pytest.fixture
def client(server):
    """A client with an address that no other test has, on one connection."""
    address = f"203.0.113.{next(addresses)}"
    limits = httpx.Limits(max_connections=1)
    with httpx.Client(
        base_url=server.url, headers={"X-Forwarded-For": address}, limits=limits, timeout=30
    ) as client:
        yield client


def pieces():
    yield ROW


def short(client, path=PATH):
    """Predict the way that small requests of known length go."""
    return client.post(path, content=ROW, headers={"Content-Type": "application/json"})


def long(client, path=PATH):
    """Predict the way that everything else goes."""
    return client.post(path, content=pieces(), headers={"Content-Type": "application/json"})


def told(answer):
    return {name: value for name, value in answer.headers.items() if name.startswith("ratelimit")}


@pytest.mark.parametrize("predict", [short, long])
def test_a_refusal_says_when_to_come_back_and_means_it(client, predict):
    answers = [predict(client) for _ in range(3)]
    port = answers[2].extensions["network_stream"].get_extra_info("client_addr")[1]
    retry_s = int(answers[2].headers["retry-after"])
    time.sleep(retry_s)
    again = predict(client)

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert [told(answer) for answer in answers] == [
        ADDRESS | {"ratelimit": ADDRESS["ratelimit"] % left} for left in (1, 0, 0)
    ]
    problem = answers[2].json()
    assert problem["code"] == "rate_limited"
    assert problem["details"].pop("retry_after_s") <= retry_s == 1
    assert problem["details"] == {"limit": "address", "rate": "2/2s"}
    assert answers[2].headers["content-type"] == "application/problem+json"
    assert again.status_code == 200
    assert again.extensions["network_stream"].get_extra_info("client_addr")[1] == port


def test_both_ways_and_pages_count_to_one_bucket(client):
    codes = [short(client).status_code, client.get("/model/cities").status_code, long(client).status_code]

    assert codes == [200, 200, 429]
    assert client.get("/v1/models").status_code == 429


def test_a_page_tells_what_is_left(client):
    assert told(client.get("/model/cities")) == ADDRESS | {"ratelimit": ADDRESS["ratelimit"] % 1}


def test_health_is_never_refused(client):
    answers = [client.get("/health/live") for _ in range(5)]

    assert {answer.status_code for answer in answers} == {200}
    assert told(answers[0]) == {}


@pytest.mark.parametrize("predict", [short, long])
def test_a_model_has_a_rate_of_its_own(server, client, predict):
    model = "/model/rare/predict"
    first = predict(client, model).status_code
    answer = predict(client, model)

    assert first in (200, 429)  # the other way may have been here before
    assert answer.status_code == 429
    assert answer.json()["details"]["limit"] == "model"
    assert told(answer)["ratelimit-policy"] == '"model";q=1;w=3600'
    assert 3000 < int(answer.headers["retry-after"]) <= 3600


def refused(server):
    found = re.search(r'^prism_refused_total\{reason="address"\} (\S+)$', server.metrics(), re.M)
    return float(found[1]) if found else 0.0


def head(address, length, path=PATH):
    lines = (f"POST {path} HTTP/1.1", "Host: a", f"X-Forwarded-For: {address}", f"Content-Length: {length}")
    return "\r\n".join((*lines, "Content-Type: application/json", "", "")).encode()


def test_a_large_body_is_refused_before_it_is_sent(server, client):
    short(client), short(client)
    before = refused(server)
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(head(client.headers["x-forwarded-for"], 10_000_000))

        assert connection.recv(1000).startswith(b"HTTP/1.1 429 ")
    assert refused(server) - before == 1


def test_a_large_body_is_counted_once(client):
    row = b'[{"city": "' + b"x" * 300_000 + b'"}]'
    answer = client.post(PATH, content=row, headers={"Content-Type": "application/json"})

    assert answer.status_code == 200
    assert told(answer) == ADDRESS | {"ratelimit": ADDRESS["ratelimit"] % 1}


def test_what_a_client_says_before_the_proxy_changes_nothing(client):
    own = client.headers["x-forwarded-for"]
    answers = []
    for made_up in ("198.51.100.1", "198.51.100.2", "198.51.100.3"):
        client.headers["x-forwarded-for"] = f"{made_up}, {own}"
        answers.append(short(client).status_code)

    assert answers == [200, 200, 429]


def test_an_ipv6_caller_is_its_network(client):
    answers = []
    for host in range(3):
        client.headers["x-forwarded-for"] = f"2001:db8::{host}"
        answers.append(short(client).status_code)

    assert answers == [200, 200, 429]
