"""One suite for every isolation backend: a server of each, and models that do what they are told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.integration.backends.kinds import PODMAN, PROCESS, Backend
from tests.integration.backends.scene import Server, install

CONTAINERS = (pytest.mark.podman, pytest.mark.system, pytest.mark.sweep)


@pytest.fixture(
    scope="module",
    params=[pytest.param(PROCESS, id="process"), pytest.param(PODMAN, id="podman", marks=CONTAINERS)],
)
def backend(request) -> Backend:
    if reason := request.param.missing():
        pytest.skip(reason)
    request.param.prepare()
    return request.param


@pytest.fixture(scope="module", autouse=True)
def site(tmp_path_factory) -> Iterator[Path]:
    """A directory with the plugin, which servers that are started meanwhile find."""
    site = tmp_path_factory.mktemp("site")
    install(site)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(site))
        yield site


@pytest.fixture(scope="module")
def server(backend, tmp_path_factory) -> Iterator[Server]:
    """A server on the backend, shared by a module."""
    with backend.serve(tmp_path_factory.mktemp("shared") / "data") as server:
        yield server
    backend.clean(server.data_dir)


@pytest.fixture
def make_server(backend, tmp_path):
    """Start servers of a test's own, all on one data directory: the last one must have ended."""
    servers: list[Server] = []

    def make(*flags: str) -> Server:
        servers.append(backend.serve(tmp_path / "data", *flags).start())
        return servers[-1]

    yield make
    for server in servers:
        server.stop()
    backend.clean(tmp_path / "data")


@pytest.fixture(scope="session")
def artifact(tmp_path_factory):
    """Write a model that multiplies by a number."""
    directory = tmp_path_factory.mktemp("artifacts")

    def write(factor: float, **facts) -> Path:
        path = directory / f"{factor:g}.told"
        path.write_text(json.dumps({"factor": factor, **facts}))
        return path

    return write


@pytest.fixture
def meanwhile():
    """Call something while the test goes on; gives a future."""
    with ThreadPoolExecutor() as pool:
        yield pool.submit
