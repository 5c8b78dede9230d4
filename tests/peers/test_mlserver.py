"""What MLServer's users send with its codecs, and what they read with them: tables, arrays and strings."""

from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from prism_core.testing.server import ServerProcess
from tests.peers.clients.tensors import packed, unpacked
from tests.peers.conftest import GRPC, Served
from tests.peers.peers import Client

pytestmark = pytest.mark.sweep

WAYS = ("rest", "grpc", "grpc-raw")
TABLE = pd.DataFrame(
    {"tenure": np.arange(60) % 25, "charge": np.arange(60) * 1.25, "plan": ["basic", "pro", "größer"] * 20}
)
TEXTS = ["a fine day", "what a mess", "fine, fine", "a mess"]


@pytest.fixture(scope="module")
def models():
    columns = make_column_transformer((OneHotEncoder(), ["plan"]), (SimpleImputer(), ["tenure", "charge"]))
    forest = RandomForestClassifier(n_estimators=5, random_state=0)
    numbers = TABLE[["tenure", "charge"]].to_numpy(float)
    labels = np.where(TABLE.tenure < 12, "leaves", "stays")
    return {
        "table": make_pipeline(columns, forest).fit(TABLE, labels),
        "numbers": RandomForestClassifier(n_estimators=5, random_state=0).fit(numbers, TABLE.tenure % 3),
        "texts": make_pipeline(CountVectorizer(), MultinomialNB()).fit(TEXTS, ["good", "bad"] * 2),
    }


@pytest.fixture(scope="module")
def served(models, tmp_path_factory):
    directory = tmp_path_factory.mktemp("models")
    with ServerProcess(directory / "data", *GRPC) as server:
        for name, model in models.items():
            joblib.dump(model, directory / f"{name}.joblib")
            server.upload(directory / f"{name}.joblib")
        yield Served(server)


@pytest.fixture(scope="module")
def mlserver():
    with Client("mlserver", Path(__file__).parent / "clients" / "mlserver_codecs.py") as client:
        yield client


@pytest.fixture
def facts(served):
    """Return where to ask."""
    return lambda way: {"way": way, "url": served.process.url if way == "rest" else served.url("grpc")}


@pytest.mark.parametrize("way", WAYS)
def test_a_table_goes_in_by_its_columns(mlserver, facts, models, way):
    asked = TABLE.head(20)

    answer = mlserver.frame(**facts(way), model="table", columns=asked.to_dict("list"))

    assert answer["predictions"] == models["table"].predict(asked).tolist()


def test_a_gap_in_a_table_is_a_gap(mlserver, facts, models):
    """The codec writes null where a number is missing; no message of gRPC could say so."""
    asked = TABLE.head(4).astype({"tenure": float})
    asked.loc[2, "charge"] = np.nan
    columns = {name: [None if x != x else x for x in column] for name, column in asked.items()}

    answer = mlserver.frame(**facts("rest"), model="table", columns=columns)

    assert answer["predictions"] == models["table"].predict(asked).tolist()


@pytest.mark.parametrize("way", WAYS)
def test_an_array_comes_back_as_one(mlserver, facts, models, way):
    numbers = TABLE[["tenure", "charge"]].to_numpy(float)[:7]

    answer = mlserver.array(**facts(way), model="numbers", tensor=packed("input", numbers))

    assert unpacked(answer).ravel().tolist() == models["numbers"].predict(numbers).tolist()


@pytest.mark.parametrize("way", WAYS)
def test_outputs_are_asked_by_name(mlserver, facts, models, way):
    numbers = TABLE[["tenure", "charge"]].to_numpy(float)[:7]
    inputs = [packed("input", numbers)]

    answer = mlserver.arrays(**facts(way), model="numbers", tensors=inputs, wanted=["probabilities"])

    assert answer["id"] == "seven"
    assert answer["outputs"] == {
        "probabilities": packed("probabilities", models["numbers"].predict_proba(numbers))
    }


@pytest.mark.parametrize("way", WAYS)
def test_strings_are_strings(mlserver, facts, models, way):
    asked = [*TEXTS, "schön"]

    answer = mlserver.strings(**facts(way), model="texts", name="text", values=asked)

    assert answer == models["texts"].predict(asked).tolist()
