"""Experiments and the guard in real processes: two gateways, real replicas, real requests."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator

import httpx
import pytest

from prism_core.testing.server import ServerProcess
from tests.integration.gateways.conftest import to_each
from tests.integration.traffic.admin import admin
from tests.integration.traffic.plugging import installed

# Of version 2: it is as good as version 1 until a value is so large.
FAILS_FROM = 1_000_000


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[ServerProcess]:
    """A server of two gateways with three versions of ``m``: 1 and 3 never fail."""
    directory = tmp_path_factory.mktemp("guard")
    server = ServerProcess(directory / "data", "--plugins", "fickle", "--gateways", "2")
    with installed(directory, "fickle"), server:
        for number, fails_from in enumerate((2 * FAILS_FROM, FAILS_FROM, 3 * FAILS_FROM), 1):
            artifact = directory / f"{number}.fickle"
            artifact.write_text(json.dumps({"fails_from": fails_from}))
            server.upload(artifact, "--name", "m")
        yield server


@pytest.fixture
def ask(server):
    """Ask both gateways in turn about so many values; return how often there was which status."""
    with to_each(server) as by_pid:
        clients = list(by_pid.values())

        def ask(n: int, begin: int = 0) -> Counter[int]:
            found: Counter[int] = Counter()
            for value in range(begin, begin + n):
                answer = clients[value % 2].post("/model/m/predict", json={"input": [value]})
                found[answer.status_code] += 1
                if answer.status_code == 200:
                    assert answer.json()["predictions"] == [2 * value]
            return found

        yield ask


def led(server: ServerProcess, other: int, **more) -> None:
    """Part the traffic between version 1 and another."""
    split = [{"version": 1, "weight": 70}, {"version": other, "weight": 30}]
    admin(server, "m", "PUT", "/route", json={"split": split, "guard": {}} | more)


def last_change(server: ServerProcess):
    return admin(server, "m", "GET", "/route/history?limit=1")["changes"][0]


def until(condition, timeout_s=15.0) -> None:
    ends = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.02)


def test_a_canary_that_begins_to_fail_is_rolled_back(server, ask):
    led(server, 2)
    assert ask(200) == {200: 200}
    failing = ask(150, FAILS_FROM)
    until(lambda: last_change(server)["actor"] == "guard")

    assert 5 < failing[500] < 70
    assert ask(100, FAILS_FROM + 1000) == {200: 100}
    assert admin(server, "m", "GET", "/route")["route"]["split"] == [
        {"version": 1, "model": "", "weight": 70.0}
    ]
    why = last_change(server)["why"]
    assert why.startswith("m/2 is worse than m/1: ")
    assert "guard" in server.run("route", "m", "--history").stdout
    assert why in server.run("experiment", "m").stdout
    assert why in server.log.read_text()

    server.run("undo", "m")

    assert len(admin(server, "m", "GET", "/route")["route"]["split"]) == 2
    assert ask(100, 10_000) == {200: 100}
    assert last_change(server)["action"] == "route.undo"


def test_versions_that_are_alike_are_left_alone_and_every_request_is_counted(server, ask):
    led(server, 3)
    revision = admin(server, "m", "GET", "/route")["revision"]
    assert ask(600) == {200: 600}

    found = server.json("experiment", "m")

    assert sum(arm["requests"] for arm in found["arms"]) == 600
    assert [arm["arm"] for arm in found["arms"]] == ["m/1", "m/3"]
    assert 110 < found["arms"][1]["requests"] < 260
    assert {line["verdict"] for line in found["lines"]} <= {"unclear", "same"}
    (verdict,) = found["verdicts"]
    assert verdict["says"] == "Keep on: it is not clear yet which of 3 and 1 is better."
    assert admin(server, "m", "GET", "/route")["revision"] == revision
    shown = server.run("experiment", "m").stdout
    assert "would be seen after about" in shown
    assert "The guard watches errors, latency" in shown


def test_labels_that_come_later_are_compared(server):
    """Version 3 is always right, version 1 never: so says whoever knows it."""
    led(server, 3, experiment={})
    with httpx.Client(base_url=server.url) as client:
        for value in range(60):
            head = client.post("/model/m/predict", json={"input": [20_000 + value]}).headers
            reward = float(head["x-prism-model-version"] == "3")
            said = client.post("/v1/feedback", json={"request_id": head["x-request-id"], "reward": reward})
            assert said.json()["judged"] == 1, said.text

    found = server.json("experiment", "m")

    (labels,) = (line for line in found["lines"] if line["metric"] == "labels")
    assert (labels["n"] + labels["control_n"], labels["value"], labels["control_value"]) == (60, 1.0, 0.0)
    assert labels["verdict"] == "better"
    assert found["verdicts"][0]["next"] == "prism route m --split 3=100"


def test_an_experiment_is_begun_anew(server, ask):
    led(server, 3)
    ask(20)

    found = server.json("experiment", "m", "--restart")

    assert [arm["requests"] for arm in found["arms"]] == [0, 0]
    assert server.run("experiment", "n", check=False).returncode == 1
