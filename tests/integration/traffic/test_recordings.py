"""Real servers record real requests: all gateways, over a kill and a restart, without what is redacted."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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


def test_what_is_kept_of_requests_by_all_gateways_and_for_how_long(tmp_path, artifact):
    files = tmp_path / "data/recordings/line"
    with ServerProcess(tmp_path / "data", "--gateways", "2") as server:
        server.upload(artifact)
        ask(server, 1)  # not recorded yet
        admin(server, "line", "PUT", "/route", json={"record": {"redact": ["salary"]}})
        sent = ask_in_every_way(server)
        while len(writers(files)) < 2:  # the kernel spreads connections over both
            ask(server, sent)
            sent += 1
            wait_for(server, "line", sent)
        assert writers(files) == gateways(server)
        with under_way(server):
            wait_for(server, "line", sent + 1)
            server.kill()

    with ServerProcess(tmp_path / "data") as server:
        found = wait_for(server, "line", sent + 1)
        assert (found["redacted"], found["dropped"]) == (["salary"], {"not_redactable": 1})
        kept = exported(server)
        assert len(kept) == found["requests"]
        bodies = [json.loads(one["body"]) for one in kept]
        assert {"input": [{"age": 2, "salary": 0.0}]} in bodies
        assert [body["inputs"][0]["data"] for body in bodies if "inputs" in body] == [[4, 0.0]]
        assert not [secret for secret in ("secret", "7777.5") if secret in json.dumps(kept)]

        ask(server, 5)
        wait_for(server, "line", len(kept) + 1)
        assert server.json("recordings", "line", "--delete") == {"deleted": "line"}
        ask(server, 6)
        assert wait_for(server, "line", 1)["requests"] == 1
        assert {"recording.export", "recording.delete"} <= set(audited(server))
        admin(server, "line", "DELETE", "")
        assert not files.exists()


def ask_in_every_way(server: ServerProcess) -> int:
    """Ask with two bodies that are kept, and some that are not; return how many are."""
    ask(server, 2)
    name = admin(server, "line", "GET", "/versions/1")["signature"]["inputs"][0]["name"]
    v2 = {"inputs": [{"name": name, "shape": [1, 2], "datatype": "FP64", "data": [4, 7777.5]}]}
    httpx.post(f"{server.url}/v2/models/line/infer", json=v2, timeout=30).raise_for_status()
    url = f"{server.url}/model/line/predict"
    refused = httpx.post(url, content=b"\x00", headers={"content-type": "text/csv"}, timeout=30)
    assert refused.status_code == 422
    by_alias = f"{server.url}/model/line@latest/predict"
    httpx.post(by_alias, json={"input": [[9, 9]]}, timeout=30).raise_for_status()
    return 2


def writers(files: Path) -> set[int]:
    return {int(path.name.split("-")[1]) for path in files.iterdir()} if files.exists() else set()


def gateways(server: ServerProcess) -> set[int]:
    leader = psutil.Process(server.facts["pid"])
    followers = (one for one in leader.children() if "prism_core.rest.follow" in one.cmdline())
    return {leader.pid, *(one.pid for one in followers)}


def audited(server: ServerProcess) -> list[str]:
    return [json.loads(line)["action"] for line in (server.data_dir / "audit.jsonl").read_text().splitlines()]


@contextmanager
def under_way(server: ServerProcess) -> Iterator[None]:
    """Send requests, one after the other, until the server is gone."""

    def send() -> None:
        with suppress(httpx.TransportError):
            while True:
                ask(server, 1)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        thread.join()
