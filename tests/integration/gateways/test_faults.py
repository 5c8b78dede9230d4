"""Gateways and replicas that are killed, and the end of a server of several."""

from __future__ import annotations

import signal

import httpx
import psutil
import pytest

from tests.integration.gateways.conftest import factor, followers, gateways, to_each
from tests.integration.gateways.load import load, wait_until


@pytest.fixture
def server(make_server, models):
    server = make_server(config="limits: {drain_s: 5}")
    server.upload(models / "1.pkl", "--name", "m")
    return server


def replica_pid(server) -> int:
    return server.json("show", "m")["replicas"][0]["pid"]


def test_a_killed_follower_is_replaced_and_nobody_else_notices(server):
    (killed,) = followers(server)
    with load(server) as answers:
        answers.settle()
        killed.kill()
        for _ in range(100):  # new connections, also those that the kernel gives to its listener
            with httpx.Client(base_url=server.url, timeout=10) as client:
                assert factor(client) == 1
        wait_until(lambda: [one.pid for one in followers(server)] not in ([], [killed.pid]))

    lost = {answer.gateway for answer in answers.answers} - {server.process.pid, killed.pid}
    assert not lost
    assert answers.failed == []
    assert all(isinstance(error, httpx.TransportError) for error in answers.broken)
    assert len(answers.broken) <= 2  # the connections that it held, one request each
    with to_each(server) as clients:
        assert [factor(client) for client in clients.values()] == [1, 1]


def test_a_follower_that_was_told_to_end_answers_first(server):
    """SIGTERM to it alone: what it has is answered, and another one takes its place."""
    (ended,) = followers(server)
    ended.send_signal(signal.SIGTERM)

    wait_until(lambda: [one.pid for one in followers(server)] not in ([], [ended.pid]))
    with to_each(server) as clients:
        assert [factor(client) for client in clients.values()] == [1, 1]


def test_a_killed_replica_costs_no_request_through_either(server):
    with load(server) as answers:
        answers.settle()
        killed = replica_pid(server)
        psutil.Process(killed).kill()
        answers.settle()

    assert answers.failed == answers.broken == []
    assert replica_pid(server) != killed


def test_a_killed_leader_ends_all(server):
    processes = server.processes()
    server.kill()

    _, alive = psutil.wait_procs(processes, timeout=5)
    assert alive == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all_gateways(server, number):
    processes = gateways(server)
    with to_each(server):  # idle connections hold nothing up
        server.process.send_signal(number)
        _, alive = psutil.wait_procs(processes, timeout=10)

    assert alive == []
    assert server.stop() == 0
    assert "Traceback" not in server.log.read_text()
    assert "follower.ended" not in server.log.read_text()


def test_a_restarted_server_serves_through_both(server):
    server.stop()
    server.start()
    with to_each(server) as clients:
        assert [factor(client) for client in clients.values()] == [1, 1]


def test_a_restart_after_a_kill_takes_the_port_again(server):
    server.kill()
    server.start()
    with to_each(server) as clients:
        assert [factor(client) for client in clients.values()] == [1, 1]
