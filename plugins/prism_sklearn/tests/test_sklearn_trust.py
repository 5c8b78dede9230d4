"""A name that the owner trusts, on the whole road: refused, admitted, loaded, written down."""

from __future__ import annotations

import operator
import pickle
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from prism_core.testing.server import ServerProcess


@pytest.fixture(scope="module")
def negated(tmp_path_factory) -> Path:
    """A model of ``y = -x`` whose first step is a function that is in no list."""
    model = make_pipeline(FunctionTransformer(operator.neg, check_inverse=False), LinearRegression())
    ys = np.array([[-1.0], [-2.0], [-3.0]])
    path = tmp_path_factory.mktemp("models") / "negated.pkl"
    path.write_bytes(pickle.dumps(model.fit(-ys, ys)))
    return path


def predicted(server: ServerProcess) -> list[float]:
    answer = httpx.post(f"{server.url}/model/negated/predict", json={"input": [[5.0]]})
    return answer.raise_for_status().json()["predictions"][0]


def test_a_name_is_trusted_for_one_file(tmp_path, negated):
    with ServerProcess(tmp_path / "data") as server:
        refused = server.run("upload", str(negated), check=False)
        assert refused.returncode == 1
        assert "_operator.neg" in refused.stderr

        server.upload(negated, "--trust", "_operator:neg")
        assert predicted(server) == pytest.approx([-5.0])
        assert server.run("upload", str(negated), "--name", "again", check=False).returncode == 1
        entries = server.json("audit", "list")

    given = [entry["facts"] for entry in entries if entry["action"] == "trust.given"]
    assert [facts["names"] for facts in given] == [["_operator:neg"]]


def test_a_settings_file_trusts_too(tmp_path, negated):
    config = f"models: {{negated: {{path: {negated}, trust: ['_operator:neg']}}}}"
    with ServerProcess(tmp_path / "data", config=config) as server:
        while httpx.get(f"{server.url}/health/ready").status_code != 200:
            time.sleep(0.05)

        assert predicted(server) == pytest.approx([-5.0])
