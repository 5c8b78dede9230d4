"""What plugins add is whole with two gateways: guards, observers and faces; and slow calls drain."""

from __future__ import annotations

import shutil
import signal
import threading
from collections import Counter
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest

from tests.integration.gateways.conftest import followers, to_each
from tests.integration.gateways.load import wait_until

PLUGIN = Path(__file__).with_name("prism_probe.py")


@pytest.fixture
def server(make_server, tmp_path, monkeypatch):
    """Two gateways with the plugin, and its model ``m`` that sleeps."""
    site = tmp_path / "site"
    info = site / "prism_probe-1.0.dist-info"
    info.mkdir(parents=True)
    shutil.copy(PLUGIN, site)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: prism-probe\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[prism]\nprobe = prism_probe\n")
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.setenv("PROBE_DIARY", str(tmp_path / "diary"))
    # The model leaves a mark in its replica's directory, which a sandbox would refuse.
    server = make_server("--plugins", "probe", "--sandbox", "off", config="limits: {drain_s: 8}")
    for factor in (1, 2):
        (tmp_path / f"{factor}.sleep").write_text(str(factor))
    server.upload(tmp_path / "1.sleep", "--name", "m")
    return server


@pytest.fixture
def clients(server):
    with to_each(server) as clients:
        yield list(clients.values())


def sleep(client: httpx.Client, seconds: float, reference: str = "m", **kwargs) -> httpx.Response:
    return client.post(f"/model/{reference}/predict", json={"input": [[seconds]]}, **kwargs)


def give_up(client: httpx.Client) -> None:
    """Ask for what takes longer than the test."""
    with suppress(httpx.TransportError):
        assert sleep(client, 30.0).status_code == 503


class Later:
    """A request that is under way."""

    def __init__(self, *args, **kwargs):
        self.response = None
        self.thread = threading.Thread(target=self._ask, args=args, kwargs=kwargs)
        self.thread.start()

    def _ask(self, *args, **kwargs):
        self.response = sleep(*args, **kwargs)

    def result(self) -> httpx.Response:
        self.thread.join(30)
        assert self.response is not None, "the request failed"
        return self.response


def wait_for_call(server) -> None:
    """Wait until the model computes a slow call."""
    wait_until((server.data_dir / "replicas" / "m-1-0" / "begun").exists)


# --- plugins --------------------------------------------------------------------------------


def test_a_guard_is_asked_in_the_process_that_the_caller_reaches(server, clients):
    told = [sleep(client, 0, headers={"x-refuse": "1"}) for client in clients]

    (follower,) = followers(server)
    pids = (server.process.pid, follower.pid)
    assert [answer.status_code for answer in told] == [403, 403]
    assert [answer.json()["detail"] for answer in told] == [f"Not 127.0.0.1, by process {p}." for p in pids]


def test_observers_hear_of_every_call_once_in_the_leader(server, clients, tmp_path):
    for _ in range(10):
        for client in clients:
            sleep(client, 0)
    server.stop()

    heard: Counter[int] = Counter()
    for line in (tmp_path / "diary").read_text().splitlines():
        pid, count = line.split()
        heard[int(pid)] += int(count)
    assert heard == {server.process.pid: 20}


def test_a_face_is_asked_in_the_leader_and_sees_the_caller(server, clients):
    for client in clients:
        response = client.post(
            "/probe/a%20b/?x=1&y=%2F",
            content=b"hello",
            headers={"x-prism-client": "10.0.0.1 5", "x-own": "o"},
        )
        told = response.json()
        local = response.extensions["network_stream"].get_extra_info("client_addr")

        assert response.status_code == 207
        assert response.headers.get_list("x-probe") == ["1", "2"]
        assert told["pid"] == server.process.pid
        assert (told["method"], told["path"], told["query"]) == ("POST", "/probe/a%20b/", "x=1&y=%2F")
        assert told["body"] == "hello"
        assert ["x-own", "o"] in told["headers"]
        if client is clients[1]:
            assert told["client"] == list(local)
            assert "x-prism-client" not in dict(told["headers"])


def test_an_endless_answer_ends_when_its_client_leaves(clients, tmp_path):
    for client in clients:
        left = tmp_path / "left"
        with client.stream("GET", "/probe/endless") as response:
            lines = response.iter_lines()
            assert [next(lines) for _ in range(5)] == ["line"] * 5
            assert not left.exists()
        wait_until(left.exists)
        left.unlink()


# --- slow calls -----------------------------------------------------------------------------


def test_a_call_through_a_follower_is_answered_before_its_version_stops(server, clients):
    slow = Later(clients[1], 2.0)
    wait_for_call(server)
    server.run("stop", "m")

    assert slow.result().json()["predictions"] == [2.0]


def test_a_rollout_does_not_wait_for_slow_calls_on_the_old_version(server, clients, tmp_path):
    slow = Later(clients[1], 25.0)
    wait_for_call(server)
    server.upload(tmp_path / "2.sleep", "--name", "m")

    assert slow.response is None
    with to_each(server) as others:
        assert [sleep(other, 0.5).json()["predictions"] for other in others.values()] == [[1.0], [1.0]]
    assert slow.response is None
    (server.data_dir / "replicas" / "m-1-0" / "enough").touch()
    assert slow.result().json()["predictions"] == [25.0]


@pytest.mark.parametrize("through", ["leader", "follower"])
def test_calls_are_answered_before_the_server_ends(server, clients, through):
    client = clients[0] if through == "leader" else clients[1]
    slow = Later(client, 2.0)
    wait_for_call(server)
    server.process.send_signal(signal.SIGTERM)

    assert slow.result().json()["predictions"] == [2.0]
    assert server.stop() == 0


def test_a_second_signal_waits_for_neither(server, clients):
    calls = [threading.Thread(target=give_up, args=(client,)) for client in clients]
    for call in calls:
        call.start()
    wait_for_call(server)
    processes = server.processes()
    for _ in range(2):
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: "server.stopping" in server.log.read_text())

    _, alive = psutil.wait_procs(processes, timeout=5)
    assert alive == []
    for call in calls:
        call.join(10)


def test_a_follower_that_is_told_to_end_answers_what_it_has(server, clients):
    (ended,) = followers(server)
    slow = Later(clients[1], 2.0)
    wait_for_call(server)
    ended.send_signal(signal.SIGTERM)

    assert slow.result().json()["predictions"] == [2.0]
