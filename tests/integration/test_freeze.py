"""A version that was frozen on one server answers on another as it did there."""

import contextlib
import json
import operator
import pickle
import socket
import subprocess
import sys
import tarfile
import time

import httpx
import joblib
import numpy
import pytest
import sklearn
import yaml
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from prism_core import bundle as bundles
from tests.integration.test_cli import PRISM, churn, environment, prism, serving

ROWS = {"input": [{"tenure": 3, "plan": "basic"}, {"tenure": 50, "plan": "pro"}]}
OWN = "_operator:neg"  # a function that no list admits


class Here:
    """Commands for one server."""

    def __init__(self, facts):
        self.data_dir = facts["data_dir"]

    def __call__(self, *args, code=0):
        return prism(*args, "--data-dir", self.data_dir, code=code)

    def json(self, *args):
        return json.loads(self(*args, "--json").stdout)


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    base = tmp_path_factory.mktemp("servers")
    with serving(base / "one") as (_, one), serving(base / "two") as (_, two):
        yield Here(one), Here(two)


@pytest.fixture(scope="module")
def there(servers, tmp_path_factory):
    """Return a version on one server, its bundle, and the version that this became on the other."""
    directory = tmp_path_factory.mktemp("frozen")
    (directory / "churn_model.pkl").write_bytes(pickle.dumps(churn(1.0)))
    one, two = servers
    before = one.json(
        "upload", directory / "churn_model.pkl", "--option", "outputs=probabilities", "--trust", OWN, "--pin"
    )
    told = one.json("freeze", "churn", "-o", directory / "any-name")
    assert told["size_bytes"] == (directory / "any-name").stat().st_size
    return before, directory / "any-name", two.json("upload", directory / "any-name")


def answer_of(version):
    return httpx.post(version["url"], json=ROWS).raise_for_status().json()


def said_by(file):
    with tarfile.open(file) as tar:
        return bundles.decode(tar.extractfile(bundles.HEAD).read())


def test_it_answers_to_the_bit_as_before(there):
    before, _, after = there

    assert (after["model"], after["version"]) == ("churn", 1)
    assert after["warnings"] == []
    assert (after["digest"], after["signature"]) == (before["digest"], before["signature"])
    assert answer_of(after) == answer_of(before)
    assert "probabilities" in str(answer_of(after))


def test_it_is_served_as_before_but_for_what_its_new_owner_says(there, servers):
    one, two = (server.json("show", "churn") for server in servers)

    assert one["options"] == {"outputs": "probabilities", "trust": [OWN]}
    assert two["options"] == {"outputs": "probabilities"}
    assert one["artifact"] == two["artifact"] == "churn_model.pkl"


def test_a_bundle_names_the_packages_that_it_ran_with(there):
    lock = {one.name: one.version for one in said_by(there[1]).environment.lock}

    assert (lock["scikit-learn"], lock["numpy"]) == (sklearn.__version__, numpy.__version__)
    assert not {"prism-core", "prism-sklearn"} & lock.keys()


def test_on_stdout_it_is_the_same_file(there, servers):
    command = [*PRISM, "freeze", "churn/1", "--data-dir", servers[0].data_dir]
    done = subprocess.run(command, capture_output=True, env=environment(), timeout=60, check=True)

    assert done.stdout == there[1].read_bytes()


def test_the_same_bundle_again_is_the_version_that_exists(there, servers):
    assert servers[1].json("upload", there[1])["version"] == 1


def test_what_the_uploader_says_wins(there, servers):
    found = servers[1].json("upload", there[1], "--name", "risk", "--option", "outputs=predictions")

    assert found["model"] == "risk"
    assert servers[1].json("show", "risk")["options"] == {"outputs": "predictions"}


def test_what_was_trusted_there_is_not_trusted_here(servers, tmp_path):
    rows = numpy.array([[0.0], [1.0]])
    model = make_pipeline(FunctionTransformer(operator.neg), LinearRegression()).fit(rows, [0, 2])
    joblib.dump(model, tmp_path / "own.joblib")
    servers[0]("upload", tmp_path / "own.joblib", "--trust", OWN)
    servers[0]("freeze", "own", "-o", tmp_path / "own.prism")
    refused = servers[1]("upload", tmp_path / "own.prism", code=1)

    assert f"--trust {OWN}" in refused.stderr
    assert f"its owner trusted {OWN}" in " ".join(refused.stderr.split())
    found = servers[1].json("upload", tmp_path / "own.prism", "--trust", OWN)
    answer = httpx.post(found["url"], json={"input": [[2.0]]}).json()
    assert answer["predictions"] == pytest.approx([4.0])


def test_a_directory_comes_back_as_one(servers, tmp_path, chain):
    before = servers[0].json("upload", chain)
    servers[0]("freeze", before["model"], "-o", tmp_path / "chain.prism")
    after = servers[1].json("upload", tmp_path / "chain.prism")

    assert (after["model"], after["digest"]) == (before["model"], before["digest"])
    rows = {"input": [[1.0, 2.0, 3.0, 4.0]]}
    one, two = (httpx.post(found["url"], json=rows).raise_for_status().json() for found in (before, after))
    assert one["predictions"] == two["predictions"]


@pytest.fixture
def chain(tmp_path):
    """Return a directory with an ONNX model whose weights are in a file of their own."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = numpy.random.default_rng(0).normal(size=(4, 2)).astype("float32")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "chain",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (tmp_path / "chain").mkdir()
    onnx.save(
        model, tmp_path / "chain" / "model.onnx", save_as_external_data=True, location="w", size_threshold=0
    )
    return tmp_path / "chain"


def test_a_damaged_bundle_changes_nothing(there, servers, tmp_path):
    data = bytearray(there[1].read_bytes())
    data[-3000] ^= 1
    (tmp_path / "bad.prism").write_bytes(data)
    refused = servers[1]("upload", tmp_path / "bad.prism", "--name", "bad", code=1)

    assert "has the digest" in " ".join(refused.stderr.split())
    assert "bad" not in [model["model"] for model in servers[1].json("list")]


# --- out of a server altogether ----------------------------------------------------------------


def test_a_build_context_holds_all_that_serves_the_version(there, servers, tmp_path):
    """Its files serve, by the interpreter of this environment: the packages that the lock names are in it."""
    context = tmp_path / "context"
    told = servers[0].json("export", "churn", "--containerfile", context)
    process, url = begun(context / "prism")
    try:
        answer = httpx.post(f"{url}/model/churn/predict", json=ROWS).raise_for_status().json()
    finally:
        process.terminate()
        assert process.wait(30) == 0

    assert answer == answer_of(there[0])
    assert told["directory"] == str(context)
    assert {path.name.split("-")[0] for path in (context / "wheels").iterdir()} == {
        "prism_core",
        "prism_oip",
        "prism_sklearn",
    }
    assert f"scikit-learn=={sklearn.__version__}" in (context / "requirements.txt").read_text().splitlines()
    assert sorted(path.name for path in context.iterdir()) == [
        "Containerfile",
        "prism",
        "requirements.txt",
        "wheels",
    ]


def begun(prism_directory):
    """Serve the files of an image from where they lie."""
    spec = prism_directory / "spec.json"
    spec.write_text(spec.read_text().replace("/prism/", f"{prism_directory}/"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "prism_core.runtime", str(spec), "--http"]
    process = subprocess.Popen(command, env=environment() | {"HOST": "127.0.0.1", "PORT": str(port)})
    url = f"http://127.0.0.1:{port}"
    for _ in range(600):
        assert process.poll() is None
        with contextlib.suppress(httpx.TransportError):
            httpx.get(f"{url}/v2/health/ready", timeout=60).raise_for_status()
            return process, url
        time.sleep(0.05)
    raise AssertionError("it does not answer")


def test_a_directory_that_holds_something_is_left_alone(there, servers, tmp_path):
    (tmp_path / "mine").touch()
    done = servers[0]("export", "churn", "--containerfile", tmp_path, code=1)

    assert "is not empty" in " ".join(done.stderr.split())
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_manifest_for_kserve(there, servers):
    manifest = yaml.safe_load(
        servers[0]("export", "churn/1", "--kserve", "--tag", "registry.example/churn:1").stdout
    )

    (container,) = manifest["spec"]["predictor"]["containers"]
    assert container["image"] == "registry.example/churn:1"
    assert manifest["metadata"]["annotations"]["prism/digest"] == there[0]["digest"]
