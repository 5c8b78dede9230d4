"""Real servers and real models."""

from __future__ import annotations

from pathlib import Path

import httpx
import joblib
import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression

from prism_core.testing.server import ServerProcess


@pytest.fixture
def predict():
    def ask(url: str, rows, **kwargs) -> httpx.Response:
        return httpx.post(url, json={"input": rows}, timeout=30, **kwargs)

    return ask


@pytest.fixture(scope="session")
def models(tmp_path_factory) -> Path:
    """A directory with ``line.pkl`` (y = 2 a + 3 b), ``line10.pkl`` (ten times that) and others."""
    directory = tmp_path_factory.mktemp("models")
    x = np.array([[0.0, 0], [1, 0], [0, 1], [2, 5]])
    joblib.dump(LinearRegression().fit(x, x @ [2, 3]), directory / "line.pkl")
    joblib.dump(LinearRegression().fit(x, x @ [20, 30]), directory / "line10.pkl")
    joblib.dump(LogisticRegression().fit(x, ["no", "yes", "no", "yes"]), directory / "sign.pkl")
    joblib.dump(DummyClassifier(strategy="uniform").fit(x, [0, 1, 0, 1]), directory / "random.pkl")
    return directory


@pytest.fixture
def make_server(tmp_path):
    servers: list[ServerProcess] = []

    def make(*flags: str, name: str = "data", config: str = "") -> ServerProcess:
        servers.append(ServerProcess(tmp_path / name, *flags, config=config).start())
        return servers[-1]

    yield make
    for server in servers:
        server.stop()


@pytest.fixture(scope="module")
def server(tmp_path_factory, models):
    """A server shared by a module, with the model ``line``."""
    with ServerProcess(tmp_path_factory.mktemp("server") / "data") as server:
        server.upload(models / "line.pkl")
        yield server
