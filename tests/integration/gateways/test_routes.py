"""Routes and aliases of two real gateways: what was reported done is done in both, and lasts."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import pytest

from prism_core.testing.server import ServerProcess
from tests.integration.gateways.conftest import factor, to_each
from tests.integration.gateways.load import load, wait_until

# Of the model `s`, as the file has it; the others are set live.
CONFIG = "routes: {s: {split: [{version: 1}]}}"


@pytest.fixture(scope="module")
def server(tmp_path_factory, models) -> Iterator[ServerProcess]:
    """Two gateways with three versions of ``m`` and one of ``s``."""
    directory = tmp_path_factory.mktemp("routes")
    with ServerProcess(directory / "data", "--gateways", "2", config=CONFIG) as server:
        for number in (1, 2, 3):
            server.upload(models / f"{number}.pkl", "--name", "m")
        server.upload(models / "1.pkl", "--name", "s")
        yield server


@pytest.fixture
def call(server):
    """Ask the admin API."""
    token = (server.data_dir / "admin-token").read_text()

    def call(method: str, path: str, **options):
        url = f"{server.facts['admin']}/admin/v1{path}"
        answer = httpx.request(
            method, url, headers={"Authorization": f"Bearer {token}"}, timeout=60, **options
        )
        return answer.json()

    return call


def split(**weights: float) -> dict:
    return {"split": [{"version": int(name[1:]), "weight": weight} for name, weight in weights.items()]}


def test_a_route_is_followed_by_all_gateways_when_it_is_told(server):
    with load(server) as answers:
        answers.settle()
        for command, factors in (
            (("route", "m", "--split", "1"), {1}),
            (("route", "m", "--split", "1=5,2=5", "--timeout-ms", "20000"), {1, 2}),
            (("route", "m", "--clear"), {3}),
            (("undo", "m"), {1, 2}),
        ):
            server.run(*command)
            done = time.monotonic()
            answers.settle()
            assert answers.since(done) == factors

    assert answers.failed == answers.broken == []


def test_routes_outlive_a_kill_and_win_over_a_file_that_is_the_same(server, call, models):
    wait_until(lambda: call("GET", "/models/s/route")["actor"] == "settings")
    server.upload(models / "2.pkl", "--name", "s")
    with to_each(server) as clients:
        assert {factor(client, "s") for client in clients.values()} == {1}
    call("PUT", "/models/s/route?why=better", json=split(v2=1))
    call("PUT", "/models/m/route", json=split(v1=1))
    server.kill()
    server.start()
    with to_each(server) as clients:
        assert {factor(client, "s") for client in clients.values()} == {2}
        assert {factor(client, "m") for client in clients.values()} == {1}

    assert (call("GET", "/models/s/route")["why"], call("GET", "/models/s/route")["actor"]) == (
        "better",
        "admin",
    )
    assert call("DELETE", "/models/m/versions/1")["detail"].startswith("The route of 'm' leads to m/1")


def test_the_way_back_from_green_to_blue_is_warm_for_a_while(server, call):
    """Blue is version 2, green is version 3."""
    call("DELETE", "/models/m/route")
    call("PUT", "/models/m/aliases/live", json={"version": 2})
    told = server.run("alias", "m", "live", "3", "--keep-warm", "1h").stdout
    assert "Version 2 stays loaded for 60 min" in told
    (blue,) = call("GET", "/models/m/versions/2")["replicas"]
    with to_each(server) as clients:
        call("PUT", "/models/m/aliases/live", json={"version": 2})
        assert {factor(client, "m@live") for client in clients.values()} == {2}
        assert [one["pid"] for one in call("GET", "/models/m/versions/2")["replicas"]] == [blue["pid"]]

        call("PUT", "/models/m/aliases/live", json={"version": 3, "keep_warm_s": 1})
        wait_until(lambda: not call("GET", "/models/m/versions/2")["loaded"])
        assert call("GET", "/models/m/versions/2")["state"] == "READY"
        answer = clients[server.process.pid].post("/model/m/versions/2/predict", json={"input": [[1.0]]})
        assert answer.json()["predictions"] == pytest.approx([2.0])
