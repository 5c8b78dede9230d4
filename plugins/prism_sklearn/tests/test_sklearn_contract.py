"""The loader keeps what `prism_core` asks of every loader: a matrix model, a column model, a text model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import joblib
import numpy as np
import pandas as pd
import skops.io
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import prism_sklearn
from prism_core.plugin import Batch
from prism_core.testing import LoaderContract

NUMBERS = np.array([[0.0, 1.0], [2.0, 0.5], [1.0, 3.0], [4.0, 0.0]])
LABELS = ["no", "yes", "no", "yes"]
TABLE = pd.DataFrame({"plan": ["basic", "pro", "basic", "pro"], "tenure": [1.0, 20.0, 5.0, 30.0]})
TEXTS = ["slow and dear", "good", "slow", "very good"]


class TestMatrix(LoaderContract):
    """A classifier of numbers, as joblib compresses it."""

    plugin = prism_sklearn
    options: ClassVar[Mapping[str, Any]] = {"outputs": "predictions,probabilities"}

    def artifact(self, directory: Path) -> Path:
        joblib.dump(self.fitted(), directory / "numbers.joblib", compress=3)
        return directory / "numbers.joblib"

    def inputs(self) -> Batch:
        return Batch({"input": NUMBERS.copy()})

    def expected(self) -> Mapping[str, Any]:
        model = self.fitted()
        labels = model.predict(NUMBERS).astype(object)
        return {"predictions": labels, "probabilities": model.predict_proba(NUMBERS)}

    def fitted(self):
        return make_pipeline(StandardScaler(), LogisticRegression()).fit(NUMBERS, LABELS)


class TestColumns(LoaderContract):
    """A pipeline over a table, as a plain pickle."""

    plugin = prism_sklearn

    def artifact(self, directory: Path) -> Path:
        joblib.dump(self.fitted(), directory / "columns.pkl")
        return directory / "columns.pkl"

    def inputs(self) -> Batch:
        return Batch(
            {"plan": TABLE["plan"].to_numpy(dtype=object).copy(), "tenure": TABLE["tenure"].to_numpy().copy()}
        )

    def expected(self) -> Mapping[str, Any]:
        return {"predictions": self.fitted().predict(TABLE).astype(object)}

    def fitted(self):
        columns = make_column_transformer((OneHotEncoder(), ["plan"]), (StandardScaler(), ["tenure"]))
        return make_pipeline(columns, LogisticRegression()).fit(TABLE, LABELS)


class TestTexts(LoaderContract):
    """A text pipeline, as skops writes it."""

    plugin = prism_sklearn

    def artifact(self, directory: Path) -> Path:
        skops.io.dump(self.fitted(), directory / "texts.skops")
        return directory / "texts.skops"

    def inputs(self) -> Batch:
        return Batch({"text": np.array(TEXTS, dtype=object)})

    def expected(self) -> Mapping[str, Any]:
        return {"predictions": self.fitted().predict(TEXTS).astype(object)}

    def fitted(self):
        return make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(TEXTS, LABELS)
