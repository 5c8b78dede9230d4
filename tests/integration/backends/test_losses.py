"""Replicas are killed, servers end and begin again: callers hardly notice, and nothing is left behind."""

from __future__ import annotations

import asyncio
import os
import signal

import httpx

from tests.integration.backends.prism_told import LEAVE, SLEEP
from tests.integration.backends.scene import FRESH, Model, are_gone, until


async def test_a_killed_replica_costs_no_answer(server, artifact):
    """Its requests are asked again, and another takes its place."""
    model = server.send(artifact(2), "killed")
    (pid,) = model.pids()
    async with httpx.AsyncClient(timeout=30, headers=FRESH) as client:

        async def ask(number):
            answer = await client.post(model.url, json={"input": [[number, SLEEP, 0.001]]})
            return answer.json().get("predictions")

        answers = []
        for wave in range(6):
            if wave == 2:
                os.kill(pid, signal.SIGKILL)
            answers += await asyncio.gather(*(ask(number) for number in range(20)))

    assert answers == [[2 * number] for number in range(20)] * 6
    until(lambda: model.pids() not in ([], [pid]))
    (replica,) = model.replicas()
    assert replica["restarts"] == 1
    assert "signal 9" in replica["last_loss"]


def test_a_row_that_ends_its_replica_is_told_so(server, artifact):
    model = server.send(artifact(3), "leaving")

    answer = model.do(LEAVE, 4)

    assert (answer.status_code, answer.json()["code"]) == (502, "replica_lost")
    until(lambda: model.factor == 3)
    (replica,) = model.replicas()
    assert "4" in replica["last_loss"]


def test_a_server_that_stops_answers_what_was_begun_and_leaves_nothing(make_server, artifact, meanwhile):
    server = make_server()
    model = server.send(artifact(4), "last")
    processes = model.processes()
    begun = meanwhile(model.do, SLEEP, 1.5)
    until(lambda: "Asleep" in model.logs())

    assert server.stop() == 0

    assert begun.result().json()["predictions"] == [4]
    assert are_gone(processes)


def test_a_backend_that_an_upload_opened_is_closed_after_its_replicas(make_server, backend, artifact):
    """Else they would be taken for lost, and replaced by what nobody ends."""
    server = make_server("--isolation", "process")
    model = server.send(artifact(2), "late", isolation=backend.name)
    processes = model.processes()

    server.stop()

    assert are_gone(processes)
    assert "replica.lost" not in server.log.read_text()


def test_what_was_served_is_served_again(make_server, artifact):
    server = make_server()
    models = [server.send(artifact(factor), f"m{factor}") for factor in (5, 6)]
    server.stop()

    again = make_server()

    until(lambda: [Model(again, one.name).factor for one in models] == [5, 6])


def test_after_kill_9_of_the_gateway_no_replica_is_left_over(make_server, artifact):
    """Each ends, or is one of those that the next server shows."""
    server = make_server()
    models = [server.send(artifact(factor), f"m{factor}", replicas=2) for factor in (7, 8)]
    before = [process for model in models for process in model.processes()]
    server.kill()

    again = make_server()

    models = [Model(again, one.name) for one in models]
    until(lambda: [model.factor for model in models] == [7, 8])
    until(lambda: [len(model.pids()) for model in models] == [2, 2])
    kept = {process for model in models for process in model.processes()}
    assert are_gone([process for process in before if process not in kept])


def test_every_gateway_of_a_server_reaches_its_replicas(make_server, artifact):
    """Connections are spread over them; a replica that is killed is found anew by each."""
    server = make_server("--gateways", "2")
    model = server.send(artifact(9), "shared")
    assert [model.factor for _ in range(12)] == [9] * 12
    (pid,) = model.pids()

    os.kill(pid, signal.SIGKILL)

    until(lambda: model.pids() not in ([], [pid]))
    assert [model.factor for _ in range(12)] == [9] * 12
