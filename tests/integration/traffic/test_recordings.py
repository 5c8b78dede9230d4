"""Real servers record real requests: all gateways, over a kill and a restart, without what is redacted."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import joblib
import numpy as np
import psutil
import pytest
from sklearn.linear_model import LinearRegression

from prism_core.testing.server import ServerProcess
from tests.integration.traffic.admin import admin, wait_for


@pytest.fixture(scope="module")
def artifact(tmp_path_factory) -> Path:
    x = np.arange(8.0).reshape(-1, 2)
    model = LinearRegression().fit(x, x @ [2, 3])
    model.feature_names_in_ = np.array(["age", "salary"], dtype=object)
    path = tmp_path_factory.mktemp("models") / "line.pkl"
    joblib.dump(model, path)
    return path


def exported(server: ServerProcess) -> list[dict]:
    target = server.data_dir.parent / "requests.ndjson"
    server.run("recordings", "line", "--export", str(target))
    assert target.stat().st_mode & 0o777 == 0o600
    return [json.loads(line) for line in target.read_text().splitlines()]


def ask(server: ServerProcess, age: float, salary: float = 7777.5) -> None:
    headers = {"Authorization": "Bearer caller-secret", "Cookie": "session=cookie-secret"}
    body = {"input": [{"age": age, "salary": salary}]}
    answer = httpx.post(f"{server.url}/model/line/predict", json=body, headers=headers, timeout=30)
    assert answer.status_code == 200, answer.text


def test_requests_are_kept_over_a_restart_until_they_are_deleted(tmp_path, artifact):
    with ServerProcess(tmp_path / "data") as server:
        server.upload(artifact)
        ask(server, 1)  # not recorded yet
        admin(server, "line", "PUT", "/route", json={"record": {"redact": ["salary"]}})
        for age in (2, 3):
            ask(server, age)
        v2 = {
            "inputs": [
                {"name": "X", "shape": [1, 2], "datatype": "FP64", "data": [4, 7777.5]},
            ]
        }
        v2["inputs"][0]["name"] = admin(server, "line", "GET", "/versions/1")["signature"]["inputs"][0][
            "name"
        ]
        assert httpx.post(f"{server.url}/v2/models/line/infer", json=v2, timeout=30).status_code == 200
        npy = httpx.post(
            f"{server.url}/model/line/predict", content=b"\x00", headers={"content-type": "text/csv"}
        )
        assert npy.status_code == 422
        httpx.post(f"{server.url}/model/line@latest/predict", json={"input": [[9, 9]]}).raise_for_status()

    with ServerProcess(tmp_path / "data") as server:
        found = wait_for(server, "line", 3)
        assert (found["requests"], found["redacted"], found["dropped"]) == (
            3,
            ["salary"],
            {"not_redactable": 1},
        )
        kept = exported(server)
        bodies = [json.loads(one["body"]) for one in kept]
        assert bodies[:2] == [{"input": [{"age": age, "salary": 0.0}]} for age in (2, 3)]
        assert bodies[2]["inputs"][0]["data"] == [4, 0.0]
        assert "secret" not in json.dumps(kept)
        assert all(
            b"7777.5" not in path.read_bytes() for path in (tmp_path / "data/recordings").rglob("*.rec")
        )

        ask(server, 5)
        wait_for(server, "line", 4)
        assert server.json("recordings", "line", "--delete") == {"deleted": "line"}
        ask(server, 6)
        assert wait_for(server, "line", 1)["requests"] == 1

        actions = [
            json.loads(line)["action"] for line in (tmp_path / "data/audit.jsonl").read_text().splitlines()
        ]
        assert {"recording.export", "recording.delete"} <= set(actions)
        admin(server, "line", "DELETE", "")
        assert not (tmp_path / "data/recordings/line").exists()


def test_all_gateways_record_and_what_a_killed_one_wrote_stays(tmp_path, artifact):
    with ServerProcess(tmp_path / "data", "--gateways", "2") as server:
        server.upload(artifact)
        admin(server, "line", "PUT", "/route", json={"record": {}})
        writers: set[str] = set()
        sent = 0
        while len(writers) < 2:  # the kernel spreads connections over both
            for _ in range(8):
                ask(server, sent)
                sent += 1
            wait_for(server, "line", sent)
            writers = {path.name.split("-")[1] for path in (tmp_path / "data/recordings/line").iterdir()}
        gateway = psutil.Process(server.facts["pid"])
        assert writers == {str(pid) for pid in (gateway.pid, *_followers(gateway))}
        server.kill()

    with ServerProcess(tmp_path / "data") as server:
        assert wait_for(server, "line", sent)["torn_bytes"] == 0
        ask(server, 1)
        assert wait_for(server, "line", sent + 1)["requests"] == sent + 1


def _followers(gateway: psutil.Process) -> list[int]:
    return [child.pid for child in gateway.children() if "prism_core.rest.follow" in child.cmdline()]
