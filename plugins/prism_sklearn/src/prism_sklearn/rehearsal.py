"""Small models of common kinds, to be loaded and asked once before replicas are forked."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prism_core.plugin import Artifact, BaseModel
from prism_sklearn.loading import load
from prism_sklearn.options import SklearnOptions


def rehearse() -> Iterator[BaseModel]:
    """Yield small models, each loaded from a file as an uploaded one is."""
    import joblib
    import sklearn

    # A model sets scikit-learn's options for its thread; what is forked later must not inherit them.
    with sklearn.config_context(), tempfile.TemporaryDirectory(prefix="prism-rehearsal-") as directory:
        path = Path(directory, "model.pkl")
        for estimator in _estimators():
            joblib.dump(estimator, path)
            yield load(Artifact(path, path.name), SklearnOptions())


def _estimators() -> Iterator[Any]:
    import numpy as np
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
    from sklearn.linear_model import LinearRegression, LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x = np.arange(24.0).reshape(8, 3) % 7
    y = np.array([0, 1] * 4)
    yield LogisticRegression().fit(x, y)
    yield make_pipeline(StandardScaler(), LogisticRegression()).fit(x, y)
    yield RandomForestClassifier(2, max_depth=2, random_state=0).fit(x, y)
    yield RandomForestRegressor(2, max_depth=2, random_state=0).fit(x, x[:, 0])
    yield LinearRegression().fit(x, x[:, 0])
