"""What both listeners say of themselves, tried by schemathesis at a real server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from prism_core.testing.server import ServerProcess

pytestmark = pytest.mark.sweep

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
# The predict routes for any model cannot say which rows it takes, nor a schema what a name may be,
# nor what bytes are an upload, nor what a route may lead to, nor which speeds above 0 are too slow for a
# replay: there a value that the schema allows may be refused, by 4xx.
CONFIG = """
[[operations]]
include-path-regex = "^/(model|v1/models)/\\\\{|^/admin/v1/(feedback|keys|links|upload)|/(aliases/|route$)"
checks.positive_data_acceptance.enabled = false

[[operations]]
include-path-regex = "/replay$"
checks.positive_data_acceptance.enabled = false

# What is wrong with an item of a list is told beside the others, in a 200.
[[operations]]
include-path = "/v1/feedback"
checks.negative_data_rejection.enabled = false

[[operations]]
include-method-regex = "GET|POST|PUT"
parameters = { model = "toy", version = 1 }
"""
# Litestar's answer to OPTIONS forgets methods of a path that has several handlers; its 405 does not.
EXCLUDED = ("allow_header_conformance",)
# Answers without an end.
ENDLESS = ("/admin/v1/events", "/admin/v1/models/{model}/logs")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    root = tmp_path_factory.mktemp("openapi")
    path = root / "toy.joblib"
    joblib.dump(LogisticRegression().fit(np.array([[0.0, 1], [1, 0], [2, 2], [3, 1]]), [0, 1, 0, 1]), path)
    with ServerProcess(root / "data") as server:
        server.upload(path, "--name", "toy")
        yield server


def run(directory, url, *options):
    config = directory / "schemathesis.toml"
    config.write_text(CONFIG)
    command = [SCHEMATHESIS, "--config-file", config, "run", url, "--no-color", "--generation-deterministic"]
    command += ["--max-examples", "12", "--request-timeout", "30", "--exclude-checks", ",".join(EXCLUDED)]
    command += options
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, f"{done.stdout[-20000:]}\n{done.stderr[-5000:]}"


def test_the_public_listener_is_as_it_says(server, tmp_path):
    run(tmp_path, f"{server.url}/openapi.json")

    assert server.running
    assert "rest.failed" not in server.log.read_text()


def test_the_admin_listener_is_as_it_says(server, tmp_path):
    """The last test of the server: it removes what is there."""
    token = (server.data_dir / "admin-token").read_text()
    excluded = [one for path in ENDLESS for one in ("--exclude-path", path)]
    url = f"{server.facts['admin']}/admin/v1/openapi.json"
    run(tmp_path, url, "--header", f"Authorization: Bearer {token}", *excluded)

    assert server.running
    assert "rest.failed" not in server.log.read_text()
