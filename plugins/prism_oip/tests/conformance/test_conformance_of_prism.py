"""PRISM itself: everything that is required, and everything that it advertises, holds over REST and gRPC."""

from __future__ import annotations

import json
import ssl
import subprocess
import time

import httpx
import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from prism_core.testing.server import PRISM, ServerProcess

ROWS = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0], [2, 5, 1]])


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server with a regression, a classifier, and a model of named columns, one of them text."""
    place = tmp_path_factory.mktemp("models")
    joblib.dump(LinearRegression().fit(ROWS, ROWS @ [2, 3, 4]), place / "line.pkl")
    joblib.dump(LogisticRegression().fit(ROWS, [0, 1, 0, 1]), place / "classes.pkl")
    frame = pd.DataFrame({"age": ROWS[:, 0], "city": ["1", "2", "1", "3"]})
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["city"]), remainder="passthrough"
    )
    joblib.dump(make_pipeline(columns, LinearRegression()).fit(frame, [1.0, 2, 3, 4]), place / "frame.pkl")
    models = "".join(f"\n  {file.stem}: {{path: {file}}}" for file in sorted(place.glob("*.pkl")))
    flags = ("--grpc-port", "0", "--auth", "keys", "--tls", "self-signed")
    with ServerProcess(place / "data", *flags, config=f"models:{models}\n") as running:
        trusted = ssl.create_default_context(cafile=running.facts["tls"]["ca"])
        while httpx.get(f"{running.url}/v2/health/ready", verify=trusted).status_code != 200:
            time.sleep(0.05)
        yield running


def asked(server: ServerProcess, *words: str) -> dict:
    """Run the command, with a key and over TLS; return its report."""
    key = server.json("keys", "create")["key"]
    # gRPC's clients know no authority that is bound to addresses, so they trust the certificate itself.
    leaf = server.data_dir / "leaf.pem"
    subprocess.run(["openssl", "x509", "-in", server.facts["tls"]["cert"], "-out", leaf], check=True)
    trusting = ("--ca", server.facts["tls"]["ca"], "--grpc-ca", str(leaf))
    there = (server.url, "--grpc", server.facts["grpc"], *trusting, "--key", key)
    done = subprocess.run(
        [*PRISM, "conformance", *there, "--json", *words], capture_output=True, text=True, check=False
    )
    report = json.loads(done.stdout)
    assert done.returncode == (0 if report["conformant"] else 1), done.stderr
    return report


def told(report: dict, state: str) -> list[tuple[str, ...]]:
    """Return what is of a state, with why."""
    return [
        (one["name"], one["model"], one["reason"] or f"{one['expected']}; {one['found']}; {one['came']}")
        for one in report["checks"]
        if one["state"] == state
    ]


@pytest.fixture(scope="module")
def report(server):
    """What the command says of all that the server has."""
    return asked(server)


def test_all_that_is_required_recommended_or_advertised_holds(report):
    assert told(report, "fails") == []
    assert {one["model"] for one in report["checks"]} == {"", "line", "classes", "frame"}


def test_what_is_not_asked_is_what_neither_the_server_nor_these_models_have(report):
    assert {reason for *_, reason in told(report, "not offered")} == {"model_repository is not advertised"}
    untried = {name for name, *_ in told(report, "untried")}
    assert untried == {"binary.mixed", "binary.text", "binary.raw-request", "binary.lying-text"}


def test_models_are_managed_at_the_admin_listener(server):
    token = (server.data_dir / "admin-token").read_text().strip()

    there = ("--admin", server.facts["admin"], "--admin-key", token, "--write")
    report = asked(server, *there, "--model", "line", "--only", "repository")

    assert told(report, "fails") == []
    assert {one["state"] for one in report["checks"]} == {"holds"}
