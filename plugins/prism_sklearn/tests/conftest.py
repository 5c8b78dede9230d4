"""Small fitted models, saved and loaded as the runtime does it."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from prism_core.plugin import Artifact, BaseModel
from prism_sklearn import SklearnOptions, prism_loaders

Save = Callable[..., Artifact]
Load = Callable[..., BaseModel]

ROWS = 60


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Write bytes, or the pickle of anything else, and return it as an artifact."""

    def write(value: Any, name: str = "model.pkl") -> Artifact:
        path = tmp_path / name
        path.write_bytes(value if isinstance(value, bytes) else pickle.dumps(value))
        return Artifact(path, name)

    return write


@pytest.fixture
def load(save: Save) -> Load:
    """Pickle an estimator and load it back as a model."""
    loader = next(iter(prism_loaders()))

    def through_a_file(estimator: Any, **options: Any) -> BaseModel:
        return loader.load(save(estimator), SklearnOptions(**options))

    return through_a_file


@pytest.fixture(scope="session")
def x() -> np.ndarray[Any, Any]:
    """Return numbers in three groups, ``(ROWS, 3)``."""
    groups = np.arange(ROWS) % 3
    return np.random.default_rng(5).normal(size=(ROWS, 3)) + groups[:, None]


@pytest.fixture(scope="session")
def y() -> np.ndarray[Any, Any]:
    """Return a text label for each group of ``x``."""
    return np.array(["bronze", "gold", "silver"])[np.arange(ROWS) % 3]


@pytest.fixture(scope="session")
def customers() -> pd.DataFrame:
    """Return a table with numbers, texts, integers, truth values, gaps and a column that nobody uses."""
    generator = np.random.default_rng(3)
    table = pd.DataFrame(
        {
            "id": np.arange(ROWS),
            "tenure": generator.integers(0, 60, ROWS),
            "charge": generator.normal(50, 20, ROWS),
            "plan": generator.choice(["basic", "plus", "pro"], ROWS),
            "region": generator.choice(["north", "south"], ROWS),
            "contract": generator.choice([1, 12, 24], ROWS),
            "active": generator.choice([True, False], ROWS),
        }
    )
    table.loc[4, "charge"] = np.nan
    table.loc[5, "region"] = None
    return table


@pytest.fixture(scope="session")
def churn(customers: pd.DataFrame) -> Pipeline:
    """Return a classifier behind a column transformer, as people write it."""
    columns = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["tenure", "charge"]),
            ("plan", OneHotEncoder(handle_unknown="ignore"), ["plan"]),
            ("region", make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder()), ["region"]),
            ("codes", OneHotEncoder(), ["contract", "active"]),
        ]
    )
    labels = np.where(customers["tenure"] < 20, "leaves", "stays")
    return Pipeline([("columns", columns), ("model", LogisticRegression(max_iter=500))]).fit(
        customers, labels
    )
