"""One of two real replicas stands still, or fails: callers hardly notice."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from contextlib import contextmanager
from itertools import count

import httpx
import pytest

from prism_core.testing.server import ServerProcess
from tests.integration.traffic.plugging import installed

# In a sandbox a model has another process id, and sees no file that is put beside it.
FLAGS = ("--plugins", "brittle", "--sandbox", "off", "--log-level", "warning")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    directory = tmp_path_factory.mktemp("brittle")
    (directory / "m.brittle").write_text("brittle")
    (directory / "route.yaml").write_text("hedge: {after_ms: 30, budget_percent: 100}")
    with installed(directory, "brittle"), ServerProcess(directory / "data", *FLAGS) as server:
        server.upload(directory / "m.brittle", "--name", "m", "--replicas", "2")
        server.run("route", "m", "--file", str(directory / "route.yaml"))
        yield server


@pytest.fixture
def replicas(server):
    return server.json("show", "m")["replicas"]


class Client:
    """Asks about values that nobody has asked about."""

    def __init__(self, server: ServerProcess, reference: str) -> None:
        self._values = count()
        self._client = httpx.Client(base_url=f"{server.url}/model/{reference}", timeout=30)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def ask(self) -> httpx.Response:
        headers = {"cache-control": "no-store"}
        return self._client.post("/predict", json={"input": [next(self._values)]}, headers=headers)

    def pid(self) -> int:
        answer = self.ask()
        assert answer.status_code == 200, answer.text
        return answer.json()["predictions"][0]


@contextmanager
def standing_still(pid: int):
    """Stop a process meanwhile."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def metric(server, line: str) -> float:
    return next(
        (float(one.split()[-1]) for one in server.metrics().splitlines() if one.startswith(line)), 0.0
    )


@pytest.mark.parametrize("which", [0, 1])
def test_a_replica_that_stands_still_delays_nobody_for_longer_than_the_hedge(server, replicas, which):
    still = replicas[which]["pid"]
    won = metric(server, 'prism_hedges_total{arm="m/1",model="m",what="won"}')
    with Client(server, "m") as client:
        with standing_still(still):
            answers = [client.ask() for _ in range(6)]
        assert client.pid() in {one["pid"] for one in replicas}

    assert [one.status_code for one in answers] == [200] * 6
    assert still not in {one.json()["predictions"][0] for one in answers}
    hedged = [one.headers.get("x-prism-hedged") for one in answers].count("1")
    assert metric(server, 'prism_hedges_total{arm="m/1",model="m",what="won"}') == won + hedged
    assert metric(server, 'prism_requests_total{code="ok",model="m",version="1"}') >= 6


def test_a_replica_that_fails_is_left_out_until_it_works_again(server, replicas):
    """By the version's own name: it needs no route."""
    with Client(server, "m/versions/1") as client:
        _fails_and_works_again(server, client, replicas)


def _fails_and_works_again(server, client, replicas):
    bad, good = replicas if client.pid() == replicas[0]["pid"] else reversed(replicas)
    broken = server.data_dir / "replicas" / bad["replica"] / "broken"
    broken.touch()
    codes = Counter(client.ask().status_code for _ in range(5))
    assert codes == {500: 5}

    # After a pause it is tried, and no caller sees it fail.
    failures = broken.with_name("failures")
    while len(failures.read_text()) < 6:
        assert client.pid() == good["pid"]
        time.sleep(0.01)
    assert [one["circuit"] for one in server.json("show", "m")["replicas"]].count("closed") == 1
    assert "left out" in server.run("show", "m").stdout
    assert metric(server, 'prism_replicas_left_out{model="m",version="1"}') == 1
    assert "replica.left_out" in server.log.read_text()

    broken.unlink()
    while metric(server, 'prism_replicas_left_out{model="m",version="1"}'):
        assert client.pid() == good["pid"]
        time.sleep(0.05)
    assert {one["circuit"] for one in server.json("show", "m")["replicas"]} == {"closed"}

    # It is asked again: it answers when the other one fails.
    (server.data_dir / "replicas" / good["replica"] / "broken").touch()
    assert Counter(client.ask().status_code for _ in range(5)) == {500: 5}
    assert client.pid() == bad["pid"]
