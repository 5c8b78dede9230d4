"""A server that asks callers for a key, and models that multiply."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import joblib
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from prism_core.testing.server import ServerProcess


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with ``2.pkl`` and ``3.pkl``, which multiply by that."""
    directory = tmp_path_factory.mktemp("models")
    x = np.array([[0.0], [1.0], [2.0]])
    for factor in (2, 3):
        joblib.dump(LinearRegression().fit(x, factor * x[:, 0]), directory / f"{factor}.pkl")
    return directory


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[ServerProcess]:
    """A server with ``auth: keys`` and the models ``m`` and ``other``."""
    data = tmp_path_factory.mktemp("keys") / "data"
    with ServerProcess(data, "--auth", "keys", config="limits: {max_body: 10MB}") as server:
        server.upload(models / "2.pkl", "--name", "m")
        server.upload(models / "3.pkl", "--name", "other")
        yield server


@pytest.fixture(scope="module")
def make_key(server: ServerProcess) -> Callable[..., tuple[str, str]]:
    """Make a key; return its id and its text."""
    token = (server.data_dir / "admin-token").read_text()

    def make(*models: str, **wish: Any) -> tuple[str, str]:
        made = httpx.post(
            f"{server.facts['admin']}/admin/v1/keys", json={"models": models, **wish}, headers=bearer(token)
        )
        assert made.status_code == 200, made.text
        return made.json()["id"], made.json()["key"]

    return make


@pytest.fixture
def client(server: ServerProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30) as client:
        yield client


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def predict(client: httpx.Client, key: str = "", model: str = "m", **headers: str) -> httpx.Response:
    """Ask a model about one value, the short way."""
    headers |= bearer(key) if key else {}
    return client.post(f"/model/{model}/predict", json={"input": [[1.0]]}, headers=headers)


def predict_slowly(client: httpx.Client, key: str = "", model: str = "m") -> httpx.Response:
    """Ask as `predict` does, with a chunked body: uvicorn's way."""

    def body() -> Iterator[bytes]:
        yield b'{"input": '
        yield b"[[1.0]]}"

    return client.post(
        f"/model/{model}/predict",
        content=body(),
        headers={"Content-Type": "application/json"} | (bearer(key) if key else {}),
    )
