"""A real server with four real classifiers and a model that is trained on what three of them answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import joblib
import numpy as np
import onnxruntime
import psutil
import pytest
import skl2onnx
from sklearn.datasets import make_classification
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from prism_core.testing.server import ServerProcess

NAMES = np.array(["ash", "beech", "oak"])
X, Y = make_classification(200, 4, n_informative=3, n_redundant=0, n_classes=3, random_state=1)
# Floats of 32 bits, so that ONNX computes on what the others compute on.
X = X.astype(np.float32).astype(np.float64)
ROWS = X[:7]

# In the order of the ensemble: `tree` with its version, and its members beside it.
MEMBERS = ("line/1", "forest/1", "bayes/1", "trees/1")


class Trained:
    """The classifiers, and what each of them answers."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        labels = NAMES[Y]
        self.models: dict[str, Any] = {
            "line": LogisticRegression(max_iter=500).fit(X, labels),
            "forest": RandomForestClassifier(8, random_state=1, n_jobs=1).fit(X, labels),
            "bayes": GaussianNB().fit(X, labels),
        }
        for name, model in self.models.items():
            joblib.dump(model, directory / f"{name}.pkl")
        trees = ExtraTreesClassifier(8, random_state=1).fit(X, labels)
        graph = skl2onnx.to_onnx(
            trees, initial_types=[("input", skl2onnx.common.data_types.FloatTensorType([None, 4]))]
        )
        (directory / "trees.onnx").write_bytes(graph.SerializeToString())
        self.onnx = onnxruntime.InferenceSession(graph.SerializeToString())
        self.meta = LogisticRegression(max_iter=500).fit(self.columns(X), labels)
        joblib.dump(self.meta, directory / "meta.pkl")

    def probabilities(self, rows: Any) -> list[Any]:
        """Return what each member answers, in order."""
        known = [model.predict_proba(rows) for model in self.models.values()]
        maps = self.onnx.run(None, {"input": rows.astype(np.float32)})[1]
        return [*known, np.array([[row[name] for name in NAMES] for row in maps])]

    def columns(self, rows: Any) -> Any:
        """Return what the meta-model is trained on: the first three members, side by side."""
        return np.hstack([model.predict_proba(rows) for model in self.models.values()])


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Trained:
    return Trained(tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="module")
def server(tmp_path_factory, trained) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("ensemble") / "data", "--grpc-port", "0") as server:
        for path in sorted(trained.directory.iterdir()):
            server.upload(path)
        yield server


class Admin(httpx.Client):
    """The admin API of a server."""

    def __init__(self, server: ServerProcess) -> None:
        token = (server.data_dir / "admin-token").read_text()
        super().__init__(
            base_url=f"{server.facts['admin']}/admin/v1/models/",
            headers={"Authorization": f"Bearer {token}"},
            timeout=30,
        )

    def replica_of(self, model: str) -> psutil.Process:
        """Return the process that runs a model, as soon as one does."""
        for _ in range(3000):
            (version,) = self.get(model).json()["versions"]
            for replica in version["replicas"]:
                if replica["state"] == "READY" and psutil.pid_exists(replica["pid"]):
                    return psutil.Process(replica["pid"])
            time.sleep(0.01)
        raise AssertionError(f"{model} has no replica")


@pytest.fixture(scope="module")
def admin(server) -> Iterator[Admin]:
    with Admin(server) as admin:
        yield admin


@pytest.fixture
def lead(admin) -> Callable[..., httpx.Response]:
    """Return what sets the route of ``line`` to an ensemble; members are references, or shares."""

    def put(*members: Any, status: int = 200, fallback: Any = (), **ensemble: Any) -> httpx.Response:
        named = [{"model": one} if isinstance(one, str) else one for one in members or MEMBERS]
        route = {"ensemble": {"members": named, **ensemble}, "fallback": fallback}
        answer = admin.put("line/route", json=route)
        assert answer.status_code == status, answer.text
        return answer

    return put


@pytest.fixture
def ask(server) -> Callable[..., httpx.Response]:
    """Return what asks the ensemble by its bare name, past what is kept."""

    def post(rows: Any = ROWS, **headers: str) -> httpx.Response:
        headers = {"Cache-Control": "no-store", **headers}
        url = f"{server.url}/model/line/predict"
        return httpx.post(url, json={"input": np.asarray(rows).tolist()}, headers=headers, timeout=30)

    return post
