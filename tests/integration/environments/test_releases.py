"""Models of several releases of scikit-learn, trained in environments of their own, served side by side.

uv gets the packages from its cache, else from the index that it is configured for.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest

from prism_core.environments.uv import find_uv
from prism_core.testing.server import ServerProcess

pytestmark = pytest.mark.system

TRAIN = Path(__file__).with_name("train.py")
SERVERS = "3.11"


@attrs.frozen
class Trained:
    """A model, and what it answered in the process that trained it."""

    path: Path
    told: Mapping[str, Any]

    def differs(self, url: str) -> str:
        """Ask the server about the same rows; return "" or how its answer differs, in any bit."""
        asked = {"inputs": self.told["rows"], "outputs": ["predictions", "probabilities"]}
        answer = httpx.post(f"{url}/model/{self.path.stem}/predict", json=asked, timeout=60)
        if answer.status_code != 200:
            return answer.text
        answered = answer.json()
        wrong = [name for name in asked["outputs"] if answered[name] != self.told[name]]
        return f"{wrong}: {answered}" if wrong else ""


Train = Callable[..., Trained]


@pytest.fixture(scope="module")
def train(tmp_path_factory) -> Train:
    """Train a model with these packages, in an environment that uv makes."""
    root = tmp_path_factory.mktemp("trained")

    @functools.cache
    def trained(name: str, *packages: str, python: str = SERVERS) -> Trained:
        environment, path = root / f"env-{name}", root / f"{name}.pkl"
        uv("venv", "--no-project", "--python", interpreter(python), str(environment))
        run = str(environment / "bin" / "python")
        uv("pip", "install", "--python", run, "--only-binary", ":all:", "pandas", *packages)
        alone = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        command = [run, str(TRAIN), str(path)]
        done = subprocess.run(command, capture_output=True, text=True, env=alone, check=False)
        assert done.returncode == 0, done.stderr
        return Trained(path, json.loads(done.stdout))

    return trained


def uv(*words: str) -> str:
    """Run uv; skip the test where it cannot have what it is asked for."""
    done = subprocess.run([find_uv(), "--quiet", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"uv cannot do that here, is the index reachable? {done.stderr.strip()[-300:]}")
    return done.stdout.strip()


def interpreter(version: str) -> str:
    """Return a Python of this machine; skip the test where there is none."""
    kept = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    return str(kept[-1]) if kept else uv("python", "find", "--no-python-downloads", version)


def test_a_model_answers_as_where_it_was_trained(train, tmp_path):
    """Without a word about versions; its environment is found again by a server that starts anew."""
    model = train("five", "scikit-learn==1.5.2")
    server = ServerProcess(tmp_path / "data")

    with server:
        shown = server.upload(model.path, "--optimize")
        assert shown["optimization"]["state"] == "kept"
        assert "an environment of its own" in shown["optimization"]["reason"]
        assert model.differs(server.url) == ""
        made = place(server, "five")
    with server:
        assert model.differs(server.url) == ""
        assert place(server, "five") == made
        assert server.json("show", "five")["replicas"][0]["framework"] == "sklearn 1.5.2"
        assert "sklearn 1.5.2, Python 3.11." in server.run("show", "five").stdout


def place(server: ServerProcess, model: str) -> tuple[str, int]:
    """Return the key of a model's environment, and which directory of the disk that is."""
    key = server.json("show", model)["environment"]
    return key, (server.data_dir / "environments" / key).stat().st_ino


@pytest.mark.sweep
def test_three_releases_answer_at_the_same_time(train, tmp_path):
    asked = {
        "three": ("scikit-learn==1.3.2", "numpy<2"),
        "five": ("scikit-learn==1.5.2",),
        "newest": ("scikit-learn",),
    }
    with ThreadPoolExecutor() as pool, ServerProcess(tmp_path / "data") as server:
        models = list(pool.map(lambda name: train(name, *asked[name]), asked))
        for model in models:
            server.upload(model.path)
        for _ in range(3):
            assert [*pool.map(lambda model: model.differs(server.url), models)] == ["", "", ""]
        shown = [server.json("show", model.path.stem) for model in models]

    assert [one["replicas"][0]["framework"] for one in shown] == [model.told["framework"] for model in models]
    assert len({one["environment"] for one in shown}) == 3


@pytest.mark.sweep
def test_a_model_runs_on_the_python_that_its_owner_names(train, tmp_path):
    model = train("twelve", "scikit-learn==1.5.2", python="3.12")

    with ServerProcess(tmp_path / "data") as server:
        server.upload(model.path, "--python", "3.12")
        assert model.differs(server.url) == ""
        shown = server.json("show", "twelve")["replicas"][0]

    assert shown["python"] == model.told["python"]


@pytest.mark.sweep
def test_a_bundle_answers_on_another_server_as_where_it_was_trained(train, tmp_path):
    """With the very packages of the first server, whatever its index has by now."""
    model, bundle = train("frozen", "scikit-learn==1.5.2", "numpy<2"), tmp_path / "frozen.prism"
    with ServerProcess(tmp_path / "one") as one:
        one.upload(model.path)
        one.run("freeze", "frozen", "-o", str(bundle))
        pins = one.json("env", "frozen")["pins"]

    with ServerProcess(tmp_path / "two") as two:
        two.upload(bundle)
        assert model.differs(two.url) == ""
        again = two.json("env", "frozen")["pins"]

    assert [(pin["name"], pin["version"]) for pin in again] == [(pin["name"], pin["version"]) for pin in pins]
