"""What a model needs, on the whole road: from MLflow, from its owner's files, from the settings."""

from __future__ import annotations

import pickle
import time
from pathlib import Path

import httpx
import pytest
import sklearn
from sklearn.linear_model import LogisticRegression

from prism_core.testing.server import ServerProcess


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with ServerProcess(tmp_path_factory.mktemp("server") / "data") as server:
        yield server


@pytest.fixture
def pickled(tmp_path, x, y) -> Path:
    path = tmp_path / "churn.pkl"
    path.write_bytes(pickle.dumps(LogisticRegression().fit(x, y)))
    return path


def test_a_directory_of_mlflows_is_served_with_what_it_pins(server, pickled, tmp_path, x, y):
    directory = tmp_path / "artifacts"
    directory.mkdir()
    pickled.rename(directory / "model.pkl")
    (directory / "MLmodel").write_text("flavors:\n  sklearn:\n    pickled_model: model.pkl\n")
    (directory / "requirements.txt").write_text(
        f"mlflow==3.17.2\nscikit-learn=={sklearn.__version__}\n-e ./x\nscipy\nevil-package"
    )

    version = server.upload(directory, "--name", "logged")

    answer = httpx.post(f"{server.url}/model/logged/predict", json={"input": x[:2].tolist()})
    assert answer.json()["predictions"] == LogisticRegression().fit(x, y).predict(x[:2]).tolist()
    assert [warning.partition(":")[0] for warning in version["warnings"]] == [
        "requirements.txt, line 3",
        "MLflow also lists evil-package",
    ]


def test_the_owner_is_told_what_the_servers_packages_lack(server, pickled, tmp_path):
    wanted = tmp_path / "requirements.txt"
    wanted.write_text("scikit-learn==1.2.2  # long ago\nnumpy\n")

    version = server.upload(pickled, "--requirements", str(wanted), "--environment", "server")

    assert version["warnings"] == [
        f"The model was made with scikit-learn {sklearn.__version__}; scikit-learn==1.2.2 is named by its "
        "owner: answers may differ, or it may not load.",
        "The server's own environment is used, though scikit-learn==1.2.2 is wanted; there it is "
        f"{sklearn.__version__}.",
    ]


def test_what_cannot_be_taken_is_refused_before_anything_is_sent(server, pickled, tmp_path):
    wanted = tmp_path / "requirements.txt"
    wanted.write_text("numpy\n--find-links elsewhere\n")

    refused = server.run("upload", str(pickled), "--requirements", str(wanted), check=False)

    assert refused.returncode == 1
    assert "requirements.txt, line 2: --find-links chooses a package index" in refused.stderr


def test_the_settings_name_files_too(tmp_path, pickled):
    (tmp_path / "environment.yml").write_text("dependencies: [scikit-learn=1.2.2, libblas]")
    (tmp_path / "wrong.txt").write_text("-e .")
    common = f"path: {pickled}, environment: server, requirements: {tmp_path}"
    config = f"models: {{churn: {{{common}/environment.yml}}, wrong: {{{common}/wrong.txt}}}}"
    with ServerProcess(tmp_path / "data", config=config) as server:
        while httpx.get(f"{server.url}/health/ready").status_code != 200:
            time.sleep(0.05)
        (version,) = server.json("list")[0]["versions"]

    assert "though scikit-learn==1.2.2 is wanted" in version["warnings"][-1]
    assert "wrong.txt, line 1: -e installs" in server.log.read_text()
