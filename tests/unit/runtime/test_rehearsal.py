"""What is done once before replicas are forked."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from prism_core.plugin import Batch, Loader
from prism_core.plugins import load_plugins
from prism_core.runtime import rehearsal
from prism_core.runtime.rehearsal import normalizers_of, plugins_of
from tests.unit.runtime.conftest import Doubler


class Rehearsed(Doubler):
    def __init__(self, example=4.0):
        super().__init__()
        self.value = example

    def example(self):
        return Batch({"input": np.array([[self.value]])})


@pytest.fixture
def perform():
    normalizers = normalizers_of(())
    return lambda model: rehearsal._perform(Loader("toy", (), float, float), model, normalizers)


def test_a_model_is_asked_as_by_its_first_caller(perform):
    model = Rehearsed()
    perform(model)

    assert model.executed == [[4.0], [4.0]]


def test_a_model_that_fails_is_told_and_no_harm(perform, caplog):
    with caplog.at_level(logging.WARNING):
        perform(Rehearsed(-1.0))

    assert "rehearsal.failed loader=toy" in caplog.text


def test_plugins_are_loaded_once():
    assert plugins_of(()) is plugins_of(())
    assert "application/json" in normalizers_of(())


def test_the_loader_of_scikit_learn_leaves_its_options_as_they_were():
    sklearn = pytest.importorskip("sklearn")
    before = sklearn.get_config()
    loader = load_plugins(("sklearn",), built_in=()).loaders["sklearn"]
    models = [
        (type(model.estimator).__name__, model.predict(model.example()).rows) for model in loader.rehearse()
    ]

    assert {name for name, _ in models} >= {"LogisticRegression", "RandomForestClassifier", "Pipeline"}
    assert all(rows == 1 for _, rows in models)
    assert sklearn.get_config() == before
