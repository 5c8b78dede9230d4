"""Processes die; callers hardly notice. Real processes, real signals."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import httpx
import psutil
import pytest


def until(condition, seconds=15.0):
    """Wait for a condition that other processes bring about."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
    return found


def ready_pids(server, model):
    return [r["pid"] for r in server.json("show", model)["replicas"] if r["state"] == "READY"]


async def test_a_killed_replica_costs_no_answer(make_server, models):
    server = make_server()
    url = server.upload(models / "line.pkl")["url"]
    (pid,) = ready_pids(server, "line")
    async with httpx.AsyncClient(timeout=30) as client:

        async def ask(number):
            answer = await client.post(
                url, json={"input": [[number, 0]]}, headers={"cache-control": "no-store"}
            )
            return answer.status_code, answer.json().get("predictions")

        answers = []
        for wave in range(6):
            if wave == 2:
                os.kill(pid, signal.SIGKILL)
            answers += await asyncio.gather(*(ask(number) for number in range(20)))

    assert [status for status, _ in answers] == [200] * 120
    assert [values[0] for _, values in answers] == pytest.approx([2 * n for n in range(20)] * 6)
    until(lambda: ready_pids(server, "line") not in ([], [pid]))
    (replica,) = server.json("show", "line")["replicas"]
    assert (replica["restarts"], replica["last_loss"]) == (1, "it ended with signal 9")


def test_after_kill_9_of_the_gateway_nothing_survives_and_everything_comes_back(make_server, models, predict):
    server = make_server()
    for name in ("line", "sign"):
        server.upload(models / f"{name}.pkl")
    server.json("upload", str(models / "line10.pkl"), "--name", "line", "--alias", "champion")
    orphans = server.processes()[1:]
    assert len(orphans) >= 3

    server.kill()
    psutil.wait_procs(orphans, timeout=5)
    assert [p for p in orphans if p.is_running() and p.status() != psutil.STATUS_ZOMBIE] == []

    again = make_server()
    url = f"{again.url}/model"
    until(lambda: predict(f"{url}/line@champion/predict", [[1, 1]]).status_code == 200)
    assert predict(f"{url}/line/versions/1/predict", [[1, 1]]).json()["predictions"] == pytest.approx([5])
    assert predict(f"{url}/line@champion/predict", [[1, 1]]).json()["predictions"] == pytest.approx([50])
    assert predict(f"{url}/sign/predict", [[0, 0]]).status_code == 200


def test_sigterm_answers_what_was_accepted_and_leaves_no_process(make_server, models):
    server = make_server()
    server.upload(models / "line.pkl")
    processes = server.processes()

    assert server.stop() == 0
    _, alive = psutil.wait_procs(processes, timeout=5)
    assert alive == []
    assert not (server.data_dir / "server.json").exists()


def test_a_second_server_on_one_data_directory_is_refused(make_server):
    server = make_server()
    refused = server.run("serve", "--port", "0", "--admin-port", "0", check=False)

    assert refused.returncode == 1
    assert "data" in refused.stderr.lower()
