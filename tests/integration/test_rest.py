"""The REST routes of a running server with real models."""

from __future__ import annotations

import base64
import json
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from prism_core.testing.server import ServerProcess

ROW = {"tenure": 3, "plan": "basic"}


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    """A directory with ``line.pkl`` (y = 2a + 3b), ``line10.pkl`` (ten times that), ``churn_model.pkl``."""
    directory = tmp_path_factory.mktemp("models")
    x = np.array([[0.0, 0], [1, 0], [0, 1], [2, 5]])
    joblib.dump(LinearRegression().fit(x, x @ [2, 3]), directory / "line.pkl")
    joblib.dump(LinearRegression().fit(x, x @ [20, 30]), directory / "line10.pkl")
    rows = pd.DataFrame({"tenure": [1, 2, 30, 40], "plan": ["basic", "plus", "basic", "plus"]})
    columns = make_column_transformer((OneHotEncoder(), ["plan"]), remainder="passthrough")
    pipeline = make_pipeline(columns, LogisticRegression()).fit(rows, ["goes", "goes", "stays", "stays"])
    joblib.dump(pipeline, directory / "churn_model.pkl")
    return directory


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[ServerProcess]:
    config = "limits: {max_body: 5000}"
    with ServerProcess(tmp_path_factory.mktemp("rest") / "data", config=config) as server:
        yield server


@pytest.fixture(scope="module")
def public(server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def admin(server) -> Iterator[httpx.Client]:
    token = (server.data_dir / "admin-token").read_text()
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=f"{server.facts['admin']}/admin/v1", headers=headers, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def upload(admin):
    """Upload a file; return every line of the answer."""

    def send(path: Path, **spec: Any) -> list[dict[str, Any]]:
        asked = json.dumps({"filename": path.name, **spec})
        answer = admin.post("/upload", params={"spec": asked}, content=path.read_bytes())
        assert answer.status_code == 200, answer.text
        return [json.loads(line) for line in answer.iter_lines()]

    return send


@pytest.fixture(scope="module")
def churn(upload, models) -> dict[str, Any]:
    """Version 1 of ``churn``, as the upload told of it."""
    return upload(models / "churn_model.pkl")[-1]["version"]


# --- the whole road ---------------------------------------------------------------------------


def test_an_upload_tells_its_steps_in_order(upload, models):
    lines = upload(models / "line.pkl", name="steps", alias="champion")

    assert [line["event"] for line in lines] == ["step"] * (len(lines) - 1) + ["done"], json.dumps(lines[-1])
    assert {"store", "inspect", "start", "publish"} <= {line["step"] for line in lines[:-1]}
    version = lines[-1]["version"]
    assert (version["model"], version["version"], version["state"]) == ("steps", 1, "READY")
    assert version["aliases"] == ["latest", "champion"]


@pytest.mark.parametrize(
    "path",
    [
        "/model/churn/predict",
        "/model/churn@latest/predict",
        "/model/churn/versions/1/predict",
        "/v1/models/churn/predict",
    ],
)
def test_every_predict_route_answers(public, churn, path):
    answer = public.post(path, json={"input": [ROW]})

    assert answer.status_code == 200
    assert answer.json() == {"model": "churn", "version": 1, "predictions": ["goes"]}
    assert answer.headers["x-prism-model-version"] == "1"


def test_kserve_v1(public, churn):
    assert public.post("/v1/models/churn:predict", json={"instances": [ROW]}).json() == {
        "predictions": ["goes"]
    }
    assert public.get("/v1/models/churn").json() == {"name": "churn", "ready": True}
    assert "churn" in public.get("/v1/models").json()["models"]


def test_the_command_line_of_a_model_page_works_as_pasted(public, churn):
    page = public.get("/model/churn").json()

    answer = subprocess.run(shlex.split(page["curl"]), capture_output=True, text=True, timeout=60, check=True)

    assert page["url"] == churn["url"]
    assert json.loads(answer.stdout)["model"] == "churn"


def test_the_example_of_the_document_is_answered(public, churn):
    document = public.get("/openapi.json").json()
    operation = document["paths"]["/model/churn/predict"]["post"]

    content = operation["requestBody"]["content"]["application/json"]
    answer = public.post("/model/churn/predict?outputs=predictions,probabilities", json=content["example"])

    told = document["components"]["schemas"]["churn.Response"]["properties"]
    assert answer.json().keys() <= told.keys()
    assert answer.json()["classes"] == told["classes"]["const"] == ["goes", "stays"]


def test_a_wrong_row_is_a_problem_that_names_it(public, churn):
    answer = public.post("/model/churn/predict", json={"input": [ROW, {"tenure": "long", "plan": "basic"}]})

    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
    assert "tenure" in json.dumps(answer.json())


def test_a_body_over_the_limit(public, churn):
    answer = public.post("/model/churn/predict", json={"input": [ROW] * 1000})

    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")


def test_health_counts_and_metrics_measure(server, public, churn):
    public.post("/model/churn/predict", json={"input": [ROW]})

    health = public.get("/v1/health").json()
    metrics = server.metrics().replace(", ", ",")

    assert health["models"]["ready"] >= 1
    assert 'prism_requests_total{code="ok",model="churn",version="1"}' in metrics


# --- managing -------------------------------------------------------------------------------------


def test_versions_aliases_and_rollback(public, admin, upload, models):
    upload(models / "line.pkl", name="life", alias="stable")
    upload(models / "line10.pkl", name="life")
    ask = {"input": [[1.0, 1.0]]}

    def answers() -> list[float]:
        paths = ("/model/life", "/model/life@stable", "/model/life/versions/2")
        return [round(public.post(f"{path}/predict", json=ask).json()["predictions"][0]) for path in paths]

    assert answers() == [50, 5, 50]
    assert admin.post("/models/life/rollback").json()["version"] == 1
    assert answers() == [5, 5, 50]
    assert admin.put("/models/life/aliases/stable", json={"version": 2}).json()["aliases"]["stable"] == 2
    assert answers() == [5, 50, 50]


def test_a_version_is_stopped_started_and_removed(public, admin, upload, models):
    upload(models / "line.pkl", name="rest")
    ask = {"input": [[1.0, 1.0]]}

    assert admin.post("/models/rest/stop").status_code == 200
    assert public.post("/model/rest/predict", json=ask).status_code == 404
    assert public.get("/model/rest").json()["state"] == "STOPPED"
    assert admin.post("/models/rest/start").status_code == 200
    assert public.post("/model/rest/predict", json=ask).status_code == 200
    assert admin.delete("/models/rest").status_code == 200
    assert admin.get("/models/rest").status_code == public.get("/model/rest").status_code == 404


def test_a_version_shows_its_replicas_measured(admin, churn):
    (replica,) = admin.get("/models/churn/versions/1").json()["replicas"]

    assert replica["pid"] > 0
    assert replica["memory_bytes"] > 100_000


def test_the_same_bytes_are_the_same_version(upload, models, churn):
    again = upload(models / "churn_model.pkl")[-1]["version"]

    assert (again["version"], again["duplicate"]) == (churn["version"], True)


def test_an_example_longer_than_any_url(admin, models):
    example = base64.b64encode(json.dumps({"input": [[1.0, 2.0]] * 10_000}).encode()).decode()
    spec = json.dumps({"filename": "line.pkl", "name": "proved", "example": example}).encode()

    answer = admin.post(
        "/upload",
        params={"spec_bytes": len(spec)},
        content=spec + (models / "line.pkl").read_bytes(),
    )

    last = json.loads(answer.text.splitlines()[-1])
    assert len(spec) > 65_536
    assert last["event"] == "done", last


def test_an_artifact_of_no_known_format_ends_with_the_reason(admin, upload, tmp_path):
    path = tmp_path / "odd.xyz"
    path.write_bytes(b"this is no model")

    last = upload(path)[-1]

    assert (last["event"], last["error"]["code"]) == ("error", "unknown_format")
    assert str(tmp_path) not in json.dumps(last)
    assert admin.get("/models/odd").status_code == 404


def test_events_are_told_while_they_happen(admin, upload, models):
    with admin.stream("GET", "/events") as events:
        told = events.iter_lines()
        upload(models / "line.pkl", name="heard")

        names = []
        for line in told:
            if line.startswith("event: "):
                names.append(line.removeprefix("event: "))
            if line.startswith("event: model.ready"):
                break

    assert names.index("model.starting") < names.index("model.ready")


def test_logs_can_be_read_and_followed(admin, churn):
    assert admin.get("/models/churn/logs?tail=5").status_code == 200
    with admin.stream("GET", "/models/churn/logs?follow=true") as following:
        assert following.status_code == 200


def test_plugins_are_listed_with_what_they_offer(admin):
    plugins = {plugin["name"]: plugin for plugin in admin.get("/plugins").json()["plugins"]}

    assert "sklearn" in plugins["sklearn"]["offers"]["prism_loaders"]
    assert plugins["process"]["offers"]["prism_isolation_backends"] == ["process"]
