"""Real servers, and clients of plain HTTP."""

from __future__ import annotations

import json
import shutil
import struct
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from prism_core.testing.server import ServerProcess

PLUGIN = Path(__file__).with_name("prism_counting.py")
HEADER = "Inference-Header-Content-Length"

OPEN = """
limits: {{max_body: 200KB}}
cors: ["https://page.test"]
access_log: access.log
models:
  line: {{path: {models}/line.pkl}}
  plans: {{path: {models}/plans.pkl}}
  counted: {{path: {models}/x.count, batching: {{max_batch_rows: 8, latency_slo_ms: 0}}}}
  narrow: {{path: {models}/x.count, batching: {{max_batch_rows: 1, max_queue_rows: 1, latency_slo_ms: 0}}}}
"""
KEYED = """
auth: keys
models:
  line: {{path: {models}/line.pkl}}
  other: {{path: {models}/line10.pkl}}
"""


@pytest.fixture(scope="package")
def models(tmp_path_factory) -> Path:
    """A directory with ``line.pkl`` (y = 2 a + 3 b), ``line10.pkl`` (ten times that), columns, a counter."""
    directory = tmp_path_factory.mktemp("models")
    x = np.array([[0.0, 0], [1, 0], [0, 1], [2, 5]])
    joblib.dump(LinearRegression().fit(x, x @ [2, 3]), directory / "line.pkl")
    joblib.dump(LinearRegression().fit(x, x @ [20, 30]), directory / "line10.pkl")
    rows = pd.DataFrame({"tenure": [1.0, 2.0, 3.0, 4.0], "plan": ["basic", "pro", "basic", "pro"]})
    columns = make_column_transformer((OneHotEncoder(), ["plan"]), remainder="passthrough")
    joblib.dump(make_pipeline(columns, LinearRegression()).fit(rows, [1, 12, 3, 14]), directory / "plans.pkl")
    (directory / "x.count").touch()
    return directory


@pytest.fixture(scope="package")
def site(tmp_path_factory) -> Path:
    """A directory in which the plugin is installed."""
    site = tmp_path_factory.mktemp("site")
    info = site / "prism_counting-1.0.dist-info"
    info.mkdir()
    shutil.copy(PLUGIN, site)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: prism-counting\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[prism]\ncounting = prism_counting\n")
    return site


def _serving(directory: Path, config: str, site: Path, *flags: str) -> ServerProcess:
    server = ServerProcess(directory / "data", *flags, config=config)
    with pytest.MonkeyPatch.context() as patch:  # no server of other tests is to find the plugin
        patch.setenv("PYTHONPATH", str(site))
        server.start()
    ends = time.monotonic() + 60
    while httpx.get(f"{server.url}/v2/health/ready").status_code != 200:
        assert time.monotonic() < ends, server.log.read_text()
        time.sleep(0.05)
    return server


@pytest.fixture(scope="package")
def server(tmp_path_factory, models, site) -> Iterator[ServerProcess]:
    """Two gateways that anybody may ask; ``line`` is ten times itself by now, its ``champion`` is not."""
    config = OPEN.format(models=models)
    server = _serving(tmp_path_factory.mktemp("open"), config, site, "--gateways", "2")
    try:
        server.upload(models / "line10.pkl", "--name", "line")
        with owning(server) as owner:
            owner.put("/admin/v1/models/line/aliases/champion", json={"version": 1}).raise_for_status()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="package")
def keyed(tmp_path_factory, models, site) -> Iterator[ServerProcess]:
    """A server that asks for keys, with the models ``line`` and ``other``."""
    server = _serving(tmp_path_factory.mktemp("keyed"), KEYED.format(models=models), site)
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def client(server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30, headers={"accept-encoding": "identity"}) as client:
        yield client


@pytest.fixture(scope="package")
def owner(server) -> Iterator[httpx.Client]:
    """A client of the admin listener, with its token."""
    with owning(server) as client:
        yield client


def owning(server: ServerProcess) -> httpx.Client:
    token = (server.data_dir / "admin-token").read_text()
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.Client(base_url=server.facts["admin"], headers=headers, timeout=60)


def tensor(rows: Sequence[Sequence[float]], name: str = "input") -> dict[str, Any]:
    """Return rows as an input in JSON."""
    return {"name": name, "datatype": "FP64", "shape": [len(rows), len(rows[0])], "data": rows}


def asked(rows: Sequence[Sequence[float]] = ((1, 2),), **more: Any) -> dict[str, Any]:
    """Return a request about rows."""
    return {"inputs": [tensor(rows)], **more}


def raw(rows: Sequence[Sequence[float]] = ((1, 2),), **more: Any) -> tuple[bytes, bytes]:
    """Return a request about rows as its JSON and what stands behind it."""
    values = np.asarray(rows, "<f8").tobytes()
    said = tensor(rows)
    del said["data"]
    said["parameters"] = {"binary_data_size": len(values)}
    return json.dumps({"inputs": [said], **more}).encode(), values


def values_of(answer: httpx.Response) -> list[float]:
    """Return the values of the one output of an answer, raw or not."""
    assert answer.status_code == 200, answer.text
    if HEADER not in answer.headers:
        (output,) = answer.json()["outputs"]
        return output["data"]
    size = int(answer.headers[HEADER])
    (output,) = json.loads(answer.content[:size])["outputs"]
    behind = answer.content[size:]
    assert output["parameters"] == {"binary_data_size": len(behind)}
    letter = {"FP64": "d", "INT64": "q"}[output["datatype"]]
    return list(struct.unpack(f"<{len(behind) // 8}{letter}", behind))


def error_of(answer: httpx.Response) -> str:
    """Return what is wrong, which is all that the body says."""
    assert answer.headers["content-type"] == "application/json"
    (said,) = answer.json().items()
    assert said[0] == "error"
    return said[1]
