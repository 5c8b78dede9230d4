"""``--optimize`` on the whole road: a real server, its replicas, and what is left after any end."""

from __future__ import annotations

import json
import pickle
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import psutil
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import IsolationForest, RandomForestClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from prism_core.testing.server import PRISM, ServerProcess

COLUMNS = ["tenure", "charge", "plan"]


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    generator = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "tenure": generator.integers(0, 60, 200).astype(float),
            "charge": generator.normal(50, 20, 200),
            "plan": generator.choice(["basic", "plus", "pro"], 200),
        }
    )


@pytest.fixture(scope="module")
def pipeline(table) -> Pipeline:
    """A forest behind named columns: many times faster as a twin, so no other load of the machine matters."""
    columns = ColumnTransformer(
        [("numbers", StandardScaler(), COLUMNS[:2]), ("plan", OneHotEncoder(), COLUMNS[2:])]
    )
    labels = np.where(table["tenure"] < 20, "leaves", "stays")
    return Pipeline([("columns", columns), ("model", RandomForestClassifier(20, random_state=0))]).fit(
        table, labels
    )


@pytest.fixture(scope="module")
def slow(tmp_path_factory) -> Path:
    """A model whose comparison takes many seconds."""
    x = np.random.default_rng(0).normal(size=(500, 4))
    path = tmp_path_factory.mktemp("slow") / "slow.pkl"
    path.write_bytes(pickle.dumps(IsolationForest(n_estimators=500, random_state=0).fit(x)))
    return path


@pytest.fixture
def churn(tmp_path, pipeline) -> Path:
    path = tmp_path / "churn.pkl"
    path.write_bytes(pickle.dumps(pipeline))
    return path


@pytest.fixture
def server(tmp_path) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path / "data") as running:
        yield running


def answer(server: ServerProcess, reference: str, table: Any) -> Any:
    body = {"input": table.to_dict("records"), "outputs": ["predictions", "probabilities"]}
    found = httpx.post(f"{server.url}/model/{reference}/predict", json=body, timeout=60)
    assert found.status_code == 200, found.text
    return found.json()


def assert_right(told: Any, pipeline: Pipeline, table: Any) -> None:
    assert told["predictions"] == pipeline.predict(table).tolist()
    assert told["probabilities"] == pipeline.predict_proba(table).tolist()


def files(server: ServerProcess, directory: str) -> list[str]:
    return sorted(p.name for p in (server.data_dir / directory).iterdir())


def loads(server: ServerProcess, replica: str) -> str:
    """Return the loader that a replica was told to use."""
    told: str = json.loads((server.data_dir / "replicas" / replica / "manifest.json").read_text())["loader"]
    return told


def until(condition: Callable[[], Any], timeout_s: float = 60.0) -> Any:
    """Return what ``condition`` says once it is true; for what has no event."""
    end = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


def test_a_twin_is_uploaded_shown_and_served(server, churn, pipeline, table):
    uploaded = server.upload(churn, "--optimize")
    report = uploaded["optimization"]

    assert (report["state"], report["dtype"], report["largest_error"]) == ("served", "float64", 0.0)
    assert set(report["speedup"]) == {"1", "16", "256"}
    assert min(report["speedup"].values()) > 1
    assert set(report["versions"]) == {"scikit-learn", "skl2onnx", "onnxruntime"}
    assert_right(answer(server, "churn", table), pipeline, table)
    assert loads(server, "churn-1-0") == "sklearn-onnx"
    assert server.json("show", "churn")["optimization"] == report
    shown = server.run("show", "churn").stdout
    assert "A converted form is served (float64" in shown
    assert "every label equal, largest error 0.0e+00" in shown


def test_a_twin_survives_kill_rollback_and_removal(tmp_path, churn, pipeline, table):
    server = ServerProcess(tmp_path / "data").start()
    try:
        server.upload(churn, "--optimize")
        server.kill()
        server.start()
        assert_right(answer(server, "churn", table), pipeline, table)
        assert (loads(server, "churn-1-0"), len(files(server, "artifacts"))) == ("sklearn-onnx", 2)
        assert server.upload(churn, "--optimize")["version"] == 1
        assert server.upload(churn, "--no-optimize")["version"] == 2
        assert loads(server, "churn-2-0") == "sklearn"
        server.run("rollback", "churn")
        assert answer(server, "churn", table)["version"] == 1
        server.run("stop", "churn")
        server.run("start", "churn")
        assert_right(answer(server, "churn", table), pipeline, table)
        server.run("remove", "churn", "--yes")
        assert (files(server, "artifacts"), files(server, "replicas")) == ([], [])
    finally:
        server.stop()


def test_a_twin_that_was_unloaded_is_woken_as_a_twin(server, churn, pipeline, table):
    server.upload(churn, "--optimize", "--min-replicas", "0", "--idle-unload", "0.2")
    until(lambda: not server.json("show", "churn")["loaded"])

    assert_right(answer(server, "churn", table), pipeline, table)
    assert server.json("show", "churn")["optimization"]["state"] == "served"


def test_a_conversion_that_takes_too_long_keeps_the_original(tmp_path, slow):
    with ServerProcess(tmp_path / "data", config="limits: {optimize_s: 1.5}") as server:
        uploaded = server.upload(slow, "--optimize")

        assert uploaded["optimization"]["state"] == "failed"
        assert "limits.optimize_s, 1.5 s" in uploaded["optimization"]["reason"]
        assert "The original is served" in server.run("show", "slow").stdout
        assert files(server, "replicas") == ["slow-1-0"]
        assert not [p for p in server.processes() if "optimize" in p.name()]


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_a_server_that_ends_in_a_conversion_leaves_nothing(tmp_path, slow, end):
    # A server that is told to stop lets an upload end by itself for as long as it drains.
    server = ServerProcess(tmp_path / "data", config="limits: {drain_s: 0.2}").start()
    uploading = subprocess.Popen(
        [*PRISM, "upload", str(slow), "--optimize", "--data-dir", str(server.data_dir)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        job = until(lambda: [p for p in server.processes() if p.name().startswith("prism:slow-1-op")])[0]
        server.kill() if end == "kill" else server.stop()
        assert uploading.wait(60) == 1
        psutil.wait_procs([job], timeout=30)
        assert not job.is_running()
        server.start()
        assert server.json("list") == []
        assert (files(server, "artifacts"), files(server, "replicas")) == ([], [])
    finally:
        uploading.kill()
        uploading.wait()
        server.stop()


def test_a_model_of_the_settings_is_converted_once(tmp_path, churn, pipeline, table):
    config = f"models: {{churn: {{path: {churn}, optimize: auto}}}}"
    server = ServerProcess(tmp_path / "data", config=config)
    for _ in range(2):
        with server:
            until(lambda: httpx.get(f"{server.url}/health/ready").status_code == 200)
            assert_right(answer(server, "churn", table), pipeline, table)
            assert [v["version"] for v in server.json("list")[0]["versions"]] == [1]
            assert loads(server, "churn-1-0") == "sklearn-onnx"


def test_the_servers_default_is_what_an_upload_does(tmp_path, churn):
    with ServerProcess(tmp_path / "data", config="optimize: off") as server:
        assert server.upload(churn)["optimization"] is None
    with ServerProcess(tmp_path / "other", config="optimize: auto") as server:
        assert server.upload(churn)["optimization"]["state"] == "served"
        assert server.upload(churn, "--no-optimize")["optimization"] is None
