"""Shadows in real processes: what callers get is never theirs, and how they differ is known exactly."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest

from prism_core.testing.server import ServerProcess
from prism_core.traffic.shadowing import sampled
from tests.integration.gateways.conftest import requests_counted, to_each
from tests.integration.traffic.plugging import installed

# Version 1 is live; the others are what the tests say.
VERSIONS = {
    1: {},
    2: {"wrong_of": 4},
    3: {"fails": True},
    4: {"dies_of": 13},
    5: {"sleep_s": 0.3},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[ServerProcess]:
    """A server of two gateways with all versions, of which the first one is live."""
    directory = tmp_path_factory.mktemp("shadows")
    server = ServerProcess(directory / "data", "--plugins", "odd,oip", "--gateways", "2")
    with installed(directory, "odd"), server:
        for says in VERSIONS.values():
            upload(server, says)
        yield server


def upload(server: ServerProcess, says: dict) -> None:
    """Upload a version of ``m`` that is odd as ``says`` says; the first one stays the latest."""
    spec = json.dumps({"filename": "m.odd", "name": "m"})
    steps = call(server, "POST", "upload", params={"spec": spec}, content=json.dumps(says)).text
    assert json.loads(steps.splitlines()[-1])["event"] == "done", steps
    admin(server, "PUT", "aliases/latest", {"version": 1})


@contextmanager
def shadowed(server: ServerProcess, *versions: int, **more) -> Iterator[httpx.Client]:
    """Let versions be shadows of ``m``, from nothing on; yield a client of the public listener."""
    shadow = [{"version": version, **more} for version in versions]
    admin(server, "PUT", "route", {"split": [{"version": 1}], "shadow": shadow})
    admin(server, "DELETE", "shadows")
    with httpx.Client(base_url=server.url, timeout=30) as client:
        yield client
    admin(server, "DELETE", "route")


def admin(server: ServerProcess, method: str, path: str, body=None) -> dict:
    return call(server, method, f"models/m/{path}", json=body).json()


def call(server: ServerProcess, method: str, path: str, **kwargs) -> httpx.Response:
    headers = {"Authorization": f"Bearer {(server.data_dir / 'admin-token').read_text()}"}
    url = f"{server.facts['admin']}/admin/v1/{path}"
    return httpx.request(method, url, headers=headers, timeout=30, **kwargs).raise_for_status()


def ask(client: httpx.Client, *values: int, request: str = "") -> list[int]:
    headers = {"X-Request-Id": request} if request else {}
    answer = client.post("/model/m/predict", json={"input": [[x] for x in values]}, headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["X-Prism-Model-Version"] == "1"
    assert answer.json()["predictions"] == [2 * x for x in values]
    return answer.json()["predictions"]


def found(server: ServerProcess, enough: Callable[[dict], bool], shadow: str = "m/2") -> dict:
    """Return what is known of a shadow, when that is ``enough``."""
    ends = time.monotonic() + 30
    while time.monotonic() < ends:
        told = admin(server, "GET", "shadows")["shadows"]
        one = next((one for one in told if one["shadow"] == shadow), None)
        if one and enough(one):
            return one
        time.sleep(0.02)
    raise AssertionError(f"it is not enough: {told}")


def all_of(count: int) -> Callable[[dict], bool]:
    return lambda one: one["requests"] == count


def test_the_agreement_is_exact_over_all_gateways(server):
    with shadowed(server, 2), to_each(server) as clients:
        before = requests_counted(server)
        for at, client in enumerate(clients.values()):
            for first in range(40 * at, 40 * at + 40, 2):
                ask(client, first, first + 1)
        one = found(server, all_of(40))

    assert (one["live"], one["rows"], one["agreed"]) == ("m/1", 80, 60)
    assert one["results"] == {"agreed": 20, "differed": 20}
    assert one["dropped"] == {}
    values = one["outputs"][0]["live"]
    assert sum(values["classes"].values()) + values["other_classes"] == 80
    assert len(one["examples"]) == 10
    assert one["live_side"]["failed"] == one["shadow_side"]["failed"] == 0
    assert one["shadow_side"]["latency_ms"]["p50"] > 0
    # No caller has asked it: it is not counted as if.
    after = requests_counted(server)
    assert after["1", "ok"] - before.get(("1", "ok"), 0) == 40
    assert ("2", "ok") not in after


def test_the_same_requests_are_asked_always_or_never(server):
    chosen = [number for number in range(60) if sampled(f"r{number}", 30)]
    with shadowed(server, 2, 4, percent=30) as client:
        for number in range(60):
            ask(client, number * 2, request=f"r{number}")
        for version in (2, 4):
            found(server, all_of(len(chosen)), f"m/{version}")


def test_answers_of_the_open_inference_protocol_are_compared(server):
    """They name the version, and are prefixed on their way: neither makes them differ."""
    with shadowed(server, 2) as client:
        for binary in (False, True):
            data = {"name": "x", "shape": [4], "datatype": "INT64", "data": [1, 2, 3, 4]}
            body = {"inputs": [data], "parameters": {"binary_data_output": binary}}
            answer = client.post("/v2/models/m/infer", json=body)
            assert answer.status_code == 200, answer.text
        one = found(server, all_of(2))

    assert (one["rows"], one["agreed"]) == (8, 6), one
    assert one["outputs"][0]["changes"] == {"8 -> 9": 2}


def test_a_shadow_that_fails_fails_alone(server):
    with shadowed(server, 3) as client:
        for number in range(1, 11):
            ask(client, number)
        one = found(server, all_of(10), "m/3")

    assert one["shadow_side"]["errors"] == {"model_failed": 10}
    assert one["results"] == {"agreed": 0, "differed": 0, "other_failed": 10}
    assert one["says"].startswith("m/3 fails for 100.0% of the requests")


def test_a_shadow_that_dies_is_replaced_and_asked_again(server):
    with shadowed(server, 4) as client:
        ask(client, 13)
        assert found(server, all_of(1), "m/4")["shadow_side"]["errors"] == {"replica_lost": 1}
        sent = 0

        def answered(one: dict) -> bool:
            nonlocal sent
            sent += 1
            ask(client, sent % 10)
            return one["agreed"] > 0

        one = found(server, answered, "m/4")

    assert one["agreed"] == one["rows"]
    assert set(one["dropped"]) <= {"not_loaded"}


def test_slow_shadows_are_dropped_and_counted(server):
    with shadowed(server, 5) as client:
        for number in range(400):
            ask(client, number)
        one = found(server, lambda one: one["dropped"].get("busy", 0) > 0, "m/5")

    assert one["requests"] < 400
    assert one["agreed"] == one["rows"]


def test_it_is_shown_in_all_places_and_can_be_forgotten(server):
    with shadowed(server, 2) as client:
        ask(client, 1, 2, 3, 4)
        before = found(server, all_of(1))
        admin(server, "PUT", "route", {"split": [{"version": 1}], "shadow": [{"version": 2, "percent": 1}]})
        assert found(server, all_of(1)) == before  # it is of the pair, whatever the route says beside

        (line,) = admin(server, "GET", "route")["live"]
        assert line == {"key": "shadow", "text": "75.0% of 4 rows agree with m/1", "target": "m/2"}
        labels = 'live="m/1",model="m",result="differed",shadow="m/2"'
        assert f"prism_shadow_rows_total{{{labels}}} 1.0" in server.metrics()
        table = server.run("shadow", "m", "--examples").stdout
        assert "m/2 " in table
        assert "75.00%" in table
        assert "row 4 of predictions: 8 / 9" in table

        assert "Nothing has been compared yet with m/2." in server.run("shadow", "m", "--forget").stdout
        assert admin(server, "GET", "shadows") == {"model": "m", "wanted": ["m/2"], "shadows": []}


@pytest.mark.sweep
def test_what_was_found_out_survives_a_restart(server):
    with shadowed(server, 2) as client:
        ask(client, 1, 2, 3, 4)
        before = found(server, all_of(1))
        server.stop()
        server.start()

        assert found(server, all_of(1)) == before


def test_removing_a_version_forgets_what_is_known_of_it(server):
    with shadowed(server, 2) as client:
        ask(client, 1)
        found(server, all_of(1))
    upload(server, {"wrong_of": 1})
    with shadowed(server, 6) as client:
        ask(client, 1)
        assert found(server, all_of(1), "m/6")["agreed"] == 0
    call(server, "DELETE", "models/m/versions/6")

    assert admin(server, "GET", "shadows")["shadows"] == []
