"""A server of two gateways with models that fail, an access log and all it writes down."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from prism_core.audit import Entry, opened, read
from prism_core.testing.server import ServerProcess

PLUGIN = Path(__file__).with_name("prism_leaky.py")
CONFIG = """
access_log: access.log
models:
  shy: {access_log_values: 12}
"""


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Path:
    """A directory in which the plugin is installed."""
    site = tmp_path_factory.mktemp("site")
    info = site / "prism_leaky-1.0.dist-info"
    info.mkdir()
    shutil.copy(PLUGIN, site)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: prism-leaky\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[prism]\nleaky = prism_leaky\n")
    return site


@pytest.fixture(scope="package")
def server(tmp_path_factory, site) -> Iterator[ServerProcess]:
    """Two gateways, and the models ``leaky`` and ``shy``."""
    directory = tmp_path_factory.mktemp("logs")
    (directory / "whole.leaky").write_text("whole")
    flags = ("--gateways", "2", "--plugins", "leaky")
    server = ServerProcess(directory / "data", *flags, config=CONFIG)
    with pytest.MonkeyPatch.context() as patch:  # no server of other tests is to find the plugin
        patch.setenv("PYTHONPATH", str(site))
        server.start()
    try:
        for name in ("leaky", "shy"):
            server.upload(directory / "whole.leaky", "--name", name)
        yield server
    finally:
        server.stop()


def admin_of(server: ServerProcess) -> httpx.Client:
    """Return a client of a server's admin listener, to be closed."""
    token = (server.data_dir / "admin-token").read_text()
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.Client(base_url=server.facts["admin"], headers=headers, timeout=60)


@pytest.fixture
def admin(server) -> Iterator[httpx.Client]:
    with admin_of(server) as client:
        yield client


@pytest.fixture
def public(server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


def entries(server: ServerProcess) -> list[Entry]:
    """Return the entries of the audit log."""
    return [opened(line.rstrip(b"\n"))[0] for line in read(server.data_dir)]


def access_lines(server: ServerProcess, *requests: str) -> dict[str, dict]:
    """Return the access log's lines by id, once those of ``requests`` are there."""
    for _ in range(500):
        path = server.data_dir / "access.log"
        text = path.read_text() if path.exists() else ""
        found = {line["request"]: line for line in map(json.loads, text.splitlines())}
        if set(requests) <= set(found):
            return found
        time.sleep(0.02)
    raise AssertionError(f"not in the access log: {set(requests) - set(found)}")
