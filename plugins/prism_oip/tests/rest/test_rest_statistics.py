"""Statistics at a real server: counts are exact, whatever came together, by whichever gateway."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import pytest

THREADS = 12


@pytest.fixture(scope="module")
def clients(server):
    """Connections enough that both gateways have some."""
    with ExitStack() as stack:
        yield [stack.enter_context(httpx.Client(base_url=server.url, timeout=60)) for _ in range(THREADS)]


def count_of(client, path="/v2/models/counted/stats"):
    (found,) = client.get(path).json()["model_stats"]
    return found


def sizes_of(found):
    return {one["batch_size"]: one["compute_infer"]["count"] for one in found["batch_stats"]}


def since(found, before):
    """Return the sizes that came since."""
    return {size: n - before.get(size, 0) for size, n in sizes_of(found).items() if n != before.get(size, 0)}


def ask(client, rows, seconds=0.004, path="/v2/models/counted/infer"):
    said = {"name": "seconds", "datatype": "FP64", "shape": [rows], "data": [seconds] * rows}
    answer = client.post(path, json={"inputs": [said]})
    assert answer.status_code == 200, answer.text
    return answer.json()["outputs"][0]["data"]


def ask_together(clients, each):
    """Let every client ask in a thread of its own; return the executions that rows were in, by request."""

    def loop(number):
        return [ask(clients[number], rows) for rows in each(number)]

    with ThreadPoolExecutor(len(clients)) as pool:
        return [answer for some in pool.map(loop, range(len(clients))) for answer in some]


def test_rows_requests_and_executions_are_counted_exactly(clients):
    before = count_of(clients[0])
    answers = ask_together(clients, lambda number: [1 + (number + n) % 4 for n in range(12)])
    found = count_of(clients[0])

    rows = Counter(execution for answer in answers for execution in answer)
    assert found["inference_count"] - before["inference_count"] == sum(map(len, answers))
    assert found["execution_count"] - before["execution_count"] == len(rows)
    assert since(found, sizes_of(before)) == Counter(rows.values())
    assert len(rows) < len(answers), "some of them were computed together"
    told, said = found["inference_stats"], before["inference_stats"]
    for name in ("success", "queue", "compute_infer"):
        assert told[name]["count"] - said[name]["count"] == len(answers)
        assert told[name]["ns"] > said[name]["ns"]
    assert told["fail"] == said["fail"]


def test_requests_larger_than_an_execution_are_counted_by_those_that_they_took(clients):
    before = count_of(clients[0])
    answers = [ask(clients[0], rows, 0.0) for rows in (8, 9, 17, 24, 40)]
    found = count_of(clients[0])

    executions = {execution for answer in answers for execution in answer}
    assert found["execution_count"] - before["execution_count"] == len(executions)
    assert found["inference_count"] - before["inference_count"] == 98


def test_a_time_in_the_model_is_counted_once_for_an_execution(clients):
    before = count_of(clients[0])
    ask(clients[0], 40, 0.01)
    found = count_of(clients[0])

    spent_ns = sum(one["compute_infer"]["ns"] for one in found["batch_stats"])
    spent_ns -= sum(one["compute_infer"]["ns"] for one in before["batch_stats"])
    request_ns = (
        found["inference_stats"]["compute_infer"]["ns"] - before["inference_stats"]["compute_infer"]["ns"]
    )
    assert 50e6 <= spent_ns <= 1.001 * request_ns


def test_failures_and_hits_are_told_apart(clients):
    before, kept = count_of(clients[0]), count_of(clients[0], "/v2/models/plans/stats")
    bad = {"name": "seconds", "datatype": "FP64", "shape": [1], "data": [-1]}
    failed = [
        clients[0].post("/v2/models/counted/infer", json={"inputs": [bad]}).status_code,
        clients[0].post("/v2/models/counted/infer", content=b"{").status_code,
    ]
    columns = [
        {"name": "tenure", "datatype": "FP64", "shape": [1], "data": [7]},
        {"name": "plan", "datatype": "BYTES", "shape": [1], "data": ["pro"]},
    ]
    how = [
        clients[0].post("/v2/models/plans/infer", json={"inputs": columns}).headers["x-prism-cache"]
        for _ in range(3)
    ]
    found, now = count_of(clients[0]), count_of(clients[0], "/v2/models/plans/stats")

    assert failed == [500, 400]
    assert found["inference_stats"]["fail"]["count"] - before["inference_stats"]["fail"]["count"] == 2
    assert found["inference_count"] == before["inference_count"]
    assert how == ["miss", "hit", "hit"]
    told, said = now["inference_stats"], kept["inference_stats"]
    assert told["success"]["count"] - said["success"]["count"] == 3
    assert told["cache_hit"]["count"] - said["cache_hit"]["count"] == 2
    assert told["cache_miss"]["count"] - said["cache_miss"]["count"] == 1
    assert now["inference_count"] - kept["inference_count"] == 1


def test_versions_are_counted_apart_and_a_removed_one_is_forgotten(clients, server, models, owner):
    server.upload(models / "line.pkl", "--name", "counters")
    server.upload(models / "line10.pkl", "--name", "counters")
    rows = {"name": "input", "datatype": "FP64", "shape": [1, 2], "data": [1, 2]}
    for version, times in ((1, 2), (2, 3)):
        for n in range(times):
            answer = clients[n].post(
                f"/v2/models/counters/versions/{version}/infer",
                json={"inputs": [rows | {"data": [version, n]}]},
            )
            assert answer.status_code == 200
    found = owner.get("/v2/models/counters/stats").json()["model_stats"]
    one = owner.get("/v2/models/counters/versions/1/stats").json()["model_stats"]
    server.run("remove", "counters", "--version", "1", "--yes")
    left = owner.get("/v2/models/counters/stats").json()["model_stats"]

    assert [(f["version"], f["inference_count"]) for f in found] == [("1", 2), ("2", 3)]
    assert one == found[:1]
    assert [(f["version"], f["inference_count"]) for f in left] == [("2", 3)]
