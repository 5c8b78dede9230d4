"""Two versions are asked what was recorded: where they differ is found, and a bound that breaks is told."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from prism_core.testing.server import ServerProcess
from tests.integration.traffic.admin import admin, wait_for
from tests.integration.traffic.plugging import installed

COUNTRIES = ("DE", "FR", "US", "PL")
REQUESTS = 240
VERSIONS: tuple[dict[str, Any], ...] = (
    {},
    {"flipped": ["DE"]},
    {"sleep_s": 0.2},
    {"fails_from": 80},
    {"other": True},
)


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[ServerProcess]:
    """A server with five versions of ``who`` and recorded requests, which it was restarted with."""
    directory = tmp_path_factory.mktemp("replay")
    with installed(directory, "ruled"):
        server = ServerProcess(
            directory / "data", "--plugins", "ruled,oip", config="memory: {idle_unload_s: 600}"
        )
        with server:
            for at, options in enumerate(VERSIONS):
                path = directory / f"{at}.ruled"
                path.write_text(json.dumps(options))
                server.upload(path, "--name", "who")
            admin(server, "who", "PUT", "/aliases/champion", json={"version": 1})
            admin(server, "who", "PUT", "/route", json={"split": [{"version": 1}], "record": {}})
            record(server.url)
            wait_for(server, "who", REQUESTS)
        with server:
            yield server


def record(url: str) -> None:
    """Send requests in PRISM's words, some answered in CSV, and in V2's."""
    drawn = random.Random(7)
    with httpx.Client(base_url=url, timeout=30) as client:
        for at in range(REQUESTS):
            country, age = COUNTRIES[at % 4], drawn.randint(18, 90)
            if at % 3:
                body: Any = {"input": [{"country": country, "age": age}]}
                accept = {"Accept": "text/csv"} if at % 3 == 1 else {}
                answer = client.post("/model/who/predict", json=body, headers=accept)
            else:
                body = {
                    "inputs": [
                        {"name": "country", "shape": [1], "datatype": "BYTES", "data": [country]},
                        {"name": "age", "shape": [1], "datatype": "FP64", "data": [age]},
                    ]
                }
                answer = client.post("/v2/models/who/infer", json=body)
            assert answer.status_code == 200, answer.text


def replayed(server: ServerProcess, candidate: str, *options: str) -> tuple[int, Any]:
    done = server.run("replay", "who@champion", candidate, *options, "--json", check=False)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_the_slice_in_which_they_differ_is_found_and_the_bound_breaks(server):
    code, found = replayed(server, "who@2", "--speed", "max", "--max-disagreement", "1%", "--max-errors", "0")
    outcome = found["outcome"]

    assert code == 1
    assert [line.partition(":")[0] for line in found["broken"]] == ["max-disagreement"]
    assert (outcome["requests"], outcome["compared_rows"]) == (REQUESTS, REQUESTS)
    assert outcome["differing_rows"] == REQUESTS // 4
    (one,) = [one for one in outcome["slices"] if one["feature"] == "country"]
    assert (one["said"], one["rows"], one["differ"], one["elsewhere_differ"]) == ("country is DE", 60, 60, 0)
    assert outcome["slices"][0] == one
    assert outcome["examples"]


def test_versions_that_agree_are_within_bounds(server):
    code, found = replayed(server, "who/1", "--max-disagreement", "0%", "--max-errors", "0", "--speed", "3")
    outcome = found["outcome"]

    assert (code, found["broken"], outcome["slices"]) == (0, [], [])
    assert outcome["pace"]["open_loop"] is True
    assert outcome["times"]["answers"] == REQUESTS
    assert set(outcome["times"]["baseline_ms"]) == {"p50", "p95"}


def test_the_sender_keeps_the_time_of_a_version_that_does_not(server):
    """The requests were sent one after the other: whoever waited for answers would have one under way."""
    code, found = replayed(server, "who/3", "--max-slowdown", "20%")
    pace = found["outcome"]["pace"]

    assert code == 1
    assert found["broken"][0].startswith("max-slowdown")
    assert pace["candidate_in_flight"] > 20
    assert pace["candidate_in_flight"] > 2 * pace["baseline_in_flight"]


def test_errors_of_the_candidate_alone_count(server):
    code, found = replayed(server, "who/4", "--speed", "max", "--max-errors", "0", "--limit", "120")
    outcome = found["outcome"]

    assert code == 1
    assert outcome["candidate_errors"] == {"model_failed": outcome["new_errors"]}
    assert 0 < outcome["new_errors"] < 60
    assert outcome["requests"] == 120


def test_nobodys_calls_are_counted(server):
    before = calls(server)
    replayed(server, "who/2", "--speed", "max", "--limit", "20")
    assert calls(server) == before


def calls(server: ServerProcess) -> list[str]:
    return [line for line in server.metrics().splitlines() if line.startswith("prism_requests_total{")]


@pytest.mark.parametrize(
    ("wish", "status", "words"),
    [
        ({"candidate": "who/9"}, 404, "has no version 9"),
        ({"candidate": "nobody/1"}, 404, "There is no model 'nobody'"),
        ({"candidate": "who/5"}, 400, "does not take 'age'"),
        ({"candidate": "who/2", "until": 1.0}, 404, "recorded in that time"),
        ({"candidate": "who/2", "speed": -1}, 400, "speed"),
        ({"candidate": "who/2", "speed": 1e-9}, 400, "at least 0.001"),
    ],
)
def test_what_cannot_be_compared_is_refused(server, wish, status, words):
    with stream(server, {"baseline": "who/1", **wish}) as answer:
        assert answer.status_code == status
        assert words in json.loads(answer.read())["detail"]


def test_one_replay_at_a_time_and_whoever_leaves_ends_it(server):
    wish = {"baseline": "who/1", "candidate": "who/2", "speed": 0.01}
    with stream(server, wish) as first:
        lines = first.iter_lines()
        assert json.loads(next(lines))["event"] == "progress"
        with stream(server, wish) as second:
            assert second.status_code == 409
    while True:
        with stream(server, {**wish, "speed": 0, "limit": 10}) as third:
            if third.status_code == 200:
                last = list(third.iter_lines())[-1]
                break
    assert json.loads(last)["event"] == "done"


def stream(server: ServerProcess, wish: dict[str, Any]) -> Any:
    headers = {"Authorization": f"Bearer {(server.data_dir / 'admin-token').read_text()}"}
    url = f"{server.facts['admin']}/admin/v1/models/who/replay"
    return httpx.stream("POST", url, json=wish, headers=headers, timeout=60)
