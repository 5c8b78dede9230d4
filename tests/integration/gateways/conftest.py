"""Servers of two gateways, and a connection to each of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import joblib
import numpy as np
import psutil
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LinearRegression

from prism_core.testing.server import ServerProcess

FOLLOWER = "prism_core.rest.follow"


@pytest.fixture(scope="session")
def models(tmp_path_factory) -> Path:
    """A directory with ``1.pkl`` to ``9.pkl``: each multiplies by its number; ``random.pkl`` draws lots."""
    directory = tmp_path_factory.mktemp("models")
    x = np.arange(4.0).reshape(-1, 1)
    for factor in range(1, 10):
        joblib.dump(LinearRegression().fit(x, x[:, 0] * factor), directory / f"{factor}.pkl")
    joblib.dump(DummyClassifier(strategy="uniform").fit(x, [0, 1, 0, 1]), directory / "random.pkl")
    return directory


@pytest.fixture
def make_server(tmp_path) -> Iterator:
    with ExitStack() as stack:

        def make(*flags: str, config: str = "", count: int = 2) -> ServerProcess:
            options = ("--gateways", str(count), *flags)
            server = ServerProcess(tmp_path / "data", *options, config=config)
            return stack.enter_context(server)

        yield make


@pytest.fixture(scope="module")
def server(tmp_path_factory, models) -> Iterator[ServerProcess]:
    """A server of two gateways, shared by a module, with the model ``m`` that multiplies by 2."""
    directory = tmp_path_factory.mktemp("two")
    config = "limits: {max_body: 100000}"
    with ServerProcess(directory / "data", "--gateways", "2", config=config) as server:
        server.upload(models / "2.pkl", "--name", "m")
        yield server


def followers(server: ServerProcess) -> list[psutil.Process]:
    """Return the processes of the followers."""
    return [child for child in psutil.Process(server.process.pid).children() if is_follower(child)]


def is_follower(process: psutil.Process) -> bool:
    """Return whether a process is a follower, and has not ended."""
    try:
        return FOLLOWER in process.cmdline()
    except psutil.Error:
        return False


def gateways(server: ServerProcess) -> list[psutil.Process]:
    """Return the processes that speak HTTP, the leader first."""
    return [psutil.Process(server.process.pid), *followers(server)]


def answered_by(server: ServerProcess, response: httpx.Response) -> int:
    """Return the pid of the gateway at the other end of a response's connection."""
    ours = response.extensions["network_stream"].get_extra_info("client_addr")[1]
    for process in gateways(server):
        if any(one.raddr and one.raddr.port == ours for one in process.net_connections("tcp")):
            return process.pid
    raise AssertionError("no gateway holds the connection")


@contextmanager
def to_each(server: ServerProcess) -> Iterator[dict[int, httpx.Client]]:
    """Open a connection to each gateway, by pid; the leader's comes first."""
    found: dict[int, httpx.Client] = {}
    wanted = {process.pid for process in gateways(server)}
    with ExitStack() as stack:
        for _ in range(200):
            client = stack.enter_context(httpx.Client(base_url=server.url, timeout=30))
            found.setdefault(answered_by(server, client.get("/health/live")), client)
            if wanted <= set(found):
                break
        assert wanted == set(found), "the kernel spreads connections over all listeners"
        yield dict(sorted(found.items(), key=lambda pair: pair[0] != server.process.pid))


def predict(client: httpx.Client, value: float = 1.0, reference: str = "m", **kwargs) -> httpx.Response:
    """Ask ``reference`` about one value."""
    return client.post(f"/model/{reference}/predict", json={"input": [[value]]}, **kwargs)


def factor(client: httpx.Client, reference: str = "m", **kwargs) -> int:
    """Return by what ``reference`` multiplies."""
    response = predict(client, reference=reference, **kwargs)
    assert response.status_code == 200, response.text
    return round(response.json()["predictions"][0])


def requests_counted(server: ServerProcess, model: str = "m") -> dict[tuple[str, str], int]:
    """Return the requests in the metrics, by version and code."""
    counted = {}
    for line in server.metrics().splitlines():
        if line.startswith("prism_requests_total{") and f'model="{model}"' in line:
            labels = dict(part.split("=") for part in line.partition("{")[2].partition("}")[0].split(","))
            counted[labels["version"].strip('"'), labels["code"].strip('"')] = int(float(line.split()[-1]))
    return counted
