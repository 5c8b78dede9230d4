"""What the pages show of other clients is run as it stands there, but for the addresses."""

import json
import re
import shlex
import subprocess
import textwrap
from pathlib import Path

import joblib
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from prism_core.testing.server import ServerProcess
from tests.peers.conftest import GRPC, Served
from tests.peers.peers import environment, python

pytestmark = pytest.mark.sweep

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "use-triton-clients.md"
BLOCK = re.compile(r"^( *)```python peer=(\w+)\n(.*?)^ *```", re.M | re.S)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    directory = tmp_path_factory.mktemp("served")
    x, y = load_iris(return_X_y=True)
    table = pd.DataFrame({"tenure": [3, 40, 5, 50], "plan": ["basic", "pro", "pro", "basic"]})
    columns = make_column_transformer((OneHotEncoder(), ["plan"]), remainder="passthrough")
    models = {
        "iris": LogisticRegression(max_iter=500).fit(x, y),
        "churn": make_pipeline(columns, LogisticRegression()).fit(table, ["leaves", "stays"] * 2),
        "plain": LogisticRegression().fit([[0.0, 0.0], [1.0, 2.0]], [0, 1]),
    }
    with ServerProcess(directory / "data", *GRPC) as server:
        for name, model in models.items():
            joblib.dump(model, directory / f"{name}.joblib")
            server.upload(directory / f"{name}.joblib")
        yield Served(server)


@pytest.fixture(scope="module")
def here(served):
    """Put the server's addresses where a page has those of one with usual ports."""
    ports = {"8000": served.url("http"), "8001": served.admin, "8081": served.url("grpc")}

    def here(text):
        for port, address in ports.items():
            text = text.replace(f"127.0.0.1:{port}", address)
        return text

    return here


def shown(peer):
    """Return what the page shows for a peer, as one program."""
    blocks = [
        textwrap.dedent(text) for _, for_whom, text in BLOCK.findall(PAGE.read_text()) if for_whom == peer
    ]
    assert blocks
    return "\n".join(blocks)


@pytest.fixture
def printed(served, here):
    """Run what the page shows for a peer; return what it prints."""

    def run(peer):
        token = served.token["authorization"].removeprefix("Bearer ")
        command = [python(peer), "-c", f"token = {token!r}\n{here(shown(peer))}"]
        done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_kserve(printed):
    assert printed("kserve") == "[0, 2]\n"


def test_mlserver(printed):
    assert [line.split() for line in printed("mlserver").splitlines()] == [
        ["predictions"],
        ["0", "leaves"],
        ["1", "stays"],
    ]


def test_tritons_client_which_unloads_the_model_in_the_end(printed, served):
    assert printed("tritonclient") == "[0 2]\n[0]\n"
    assert served.process.json("show", "iris")["state"] == "STOPPED"


def test_the_first_line_to_paste_answers(here):
    (line,) = re.findall(r"^curl .+$", (ROOT / "plugins" / "prism_oip" / "README.md").read_text(), re.M)
    words = shlex.split(here(line).replace("/churn/", "/plain/"))

    answer = json.loads(subprocess.check_output([*words, "-sS"]))

    assert answer["outputs"][0] == {"name": "predictions", "datatype": "INT64", "shape": [1], "data": [1]}
