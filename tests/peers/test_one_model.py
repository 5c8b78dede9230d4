"""One model, five protocols: bit-equal answers, and what is asked at once is computed at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import attrs
import httpx
import joblib
import numpy as np
import pandas as pd
import pytest
import skl2onnx
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from prism_core.testing.server import ServerProcess
from tests.integration.test_runtime_alone import begin, write_spec
from tests.integration.test_runtime_alone import until_ready as until_alone
from tests.peers.clients.tensors import NUMPY, packed, unpacked
from tests.peers.conftest import GRPC, Served, until_ready
from tests.peers.peers import Client

ROWS = 3
# Forests: a row's answer does not depend on where in a batch it is, as sums of matrices do.
FOREST = {"n_estimators": 7, "random_state": 0}
DRAWN = np.random.default_rng(7)
NUMBERS = DRAWN.normal(size=(60, 3))
TABLE = pd.DataFrame(
    {
        "tenure": DRAWN.integers(0, 60, 60),
        "charge": DRAWN.normal(50, 20, 60),
        "plan": DRAWN.choice(["basic", "größer"], 60),
    }
)


@attrs.frozen
class Case:
    """A model, and the same question in the words of each protocol."""

    path: Path
    plain: list[Any]
    tensors: list[dict[str, Any]]
    output: str

    @property
    def v2(self) -> dict[str, Any]:
        """The body of the V2 protocol, all of it JSON."""
        inputs = []
        for tensor in self.tensors:
            array = unpacked(tensor)
            data = [x.decode() for x in array] if array.dtype == object else array.tolist()
            inputs.append({key: tensor[key] for key in ("name", "datatype", "shape")} | {"data": data})
        return {"inputs": inputs}

    def plainly(self, predictions: list[Any], datatype: str) -> dict[str, Any]:
        """Return predictions that came as JSON, as the tensor that the others answer."""
        if datatype == "BYTES":
            return packed(self.output, np.array(predictions, dtype=object))
        return packed(self.output, np.array(predictions, NUMPY[datatype]))


def made(directory: Path) -> dict[str, Case]:
    """Train and save the models; return what they are asked."""
    target = NUMBERS @ [1.5, -2.5, 1 / 3]
    forest = RandomForestRegressor(**FOREST).fit(NUMBERS, target)
    joblib.dump(forest, directory / "forest.joblib")
    narrow = NUMBERS.astype(np.float32)
    tree = skl2onnx.to_onnx(forest, narrow[:1])
    (directory / "tree.onnx").write_bytes(tree.SerializeToString())
    columns = make_column_transformer((OneHotEncoder(), ["plan"]), remainder="passthrough")
    labels = np.where(TABLE.tenure < 20, "geht", "bleibt")
    joblib.dump(
        make_pipeline(columns, RandomForestClassifier(**FOREST)).fit(TABLE, labels),
        directory / "table.joblib",
    )
    asked = TABLE.head(ROWS)
    parts = [packed(name, asked[name].to_numpy()) for name in asked]
    return {
        "forest": Case(
            directory / "forest.joblib",
            NUMBERS[:ROWS].tolist(),
            [packed("input", NUMBERS[:ROWS])],
            "predictions",
        ),
        "tree": Case(
            directory / "tree.onnx", narrow[:ROWS].tolist(), [packed("X", narrow[:ROWS])], "variable"
        ),
        "table": Case(directory / "table.joblib", asked.to_dict("records"), parts, "predictions"),
    }


CASES = ("forest", "tree", "table")
DATATYPES = {"forest": "FP64", "tree": "FP32", "table": "BYTES"}


@pytest.fixture(scope="module")
def cases(tmp_path_factory) -> dict[str, Case]:
    return made(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def triton():
    with Client("tritonclient", Path(__file__).parent / "clients" / "triton.py") as client:
        yield client


@pytest.fixture(
    scope="module", params=[pytest.param(1, id="1"), pytest.param(2, id="2", marks=pytest.mark.sweep)]
)
def served(request, cases, tmp_path_factory):
    """A server whose models wait until all five questions are there: an execution has their rows, or none."""
    directory = tmp_path_factory.mktemp("served")
    lines = ["models:"]
    for name, case in cases.items():
        batching = f"{{max_batch_rows: {5 * ROWS}, max_delay_ms: 9000}}"
        lines.append(f"  {name}: {{path: {case.path}, batching: {batching}}}")
    flags = (*GRPC, "--gateways", str(request.param))
    with ServerProcess(directory / "data", *flags, config="\n".join(lines)) as server:
        until_ready(server)
        yield Served(server)


def native(served: Served, case: Case, name: str) -> httpx.Response:
    return httpx.post(f"{served.process.url}/model/{name}/predict", json={"input": case.plain}, timeout=30)


def v1(served: Served, case: Case, name: str) -> httpx.Response:
    url = f"{served.process.url}/v1/models/{name}:predict"
    return httpx.post(url, json={"instances": case.plain}, timeout=30)


def v2(served: Served, case: Case, name: str) -> httpx.Response:
    return httpx.post(f"{served.process.url}/v2/models/{name}/infer", json=case.v2, timeout=30)


def executed(triton: Client, served: Served, name: str) -> tuple[int, int]:
    """Return how many rows have been computed, in how many executions."""
    facts = {"way": "http", "url": served.url("http"), "method": "get_inference_statistics"}
    (found,) = triton.ask(**facts, arguments=[name])["model_stats"]
    return found["inference_count"], found["execution_count"]


@pytest.mark.parametrize("name", CASES)
def test_five_protocols_are_answered_alike_and_by_one_execution(triton, served, cases, name):
    case, datatype = cases[name], DATATYPES[name]
    before = executed(triton, served, name)
    asked = [[way, served.url(way), name, case.tensors] for way in ("http-aio", "grpc-aio")]

    with ThreadPoolExecutor() as others:
        plain = [others.submit(ask, served, case, name) for ask in (native, v1, v2)]
        binary, grpc = (answer["outputs"] for answer in triton.together(asked=asked))
        json, v1_json, v2_json = (one.result() for one in plain)

    assert binary == grpc
    expected = binary[case.output]
    assert expected["datatype"] == datatype
    (output,) = v2_json.json()["outputs"]
    told = np.array(output.pop("data"), dtype=object).reshape(output["shape"])
    for predictions in (json.json()["predictions"], v1_json.json()["predictions"], told.tolist()):
        assert case.plainly(predictions, datatype) == expected
    assert output == {key: expected[key] for key in ("name", "datatype", "shape")}
    rows, executions = executed(triton, served, name)
    assert (rows - before[0], executions - before[1]) == (5 * ROWS, 1)
    assert {one.headers["x-prism-batch"] for one in (json, v1_json, v2_json)} == {str(5 * ROWS)}


@pytest.mark.parametrize(
    ("name", "loader"),
    [
        pytest.param("forest", "sklearn", marks=pytest.mark.sweep),
        ("tree", "onnx"),
        pytest.param("table", "sklearn", marks=pytest.mark.sweep),
    ],
)
def test_a_replica_alone_answers_alike(triton, tmp_path, cases, name, loader):
    """What an exported container is: no gateway, the replica's own HTTP."""
    case, datatype = cases[name], DATATYPES[name]
    plugins = (f"{loader}=prism_{loader}", "oip=prism_oip")
    process, url = begin(write_spec(tmp_path, case.path, loader, *plugins))
    try:
        until_alone(process, url)
        plain = httpx.post(f"{url}/predict", json={"input": case.plain}, timeout=30).json()
        v2_json = httpx.post(f"{url}/v2/models/line/infer", json=case.v2, timeout=30).json()
        ((binary,),) = (
            one["outputs"].values()
            for one in triton.together(asked=[["http-aio", url.partition("://")[2], "line", case.tensors]])
        )
    finally:
        process.kill()
        process.wait(10)

    assert binary["datatype"] == datatype
    assert case.plainly(plain["predictions"], datatype) == binary
    assert case.plainly(v2_json["outputs"][0]["data"], datatype)["values"] == binary["values"]
