"""Train the models of the benchmarks: ``python bench/models.py DIRECTORY``.

M1 a logistic regression, M2 a 100-tree forest, both on scikit-learn's breast cancer data
(30 features), M3 a small MLP on its digits, as ONNX.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import joblib
import numpy as np
from skl2onnx import to_onnx
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

ROWS = 500


def train(directory: Path) -> None:
    """Write ``logistic.pkl``, ``forest.pkl``, ``mlp.onnx`` and the rows to ask them."""
    directory.mkdir(parents=True, exist_ok=True)
    x, y = load_breast_cancer(return_X_y=True)
    scaled = StandardScaler().fit_transform(x)
    joblib.dump(LogisticRegression(max_iter=1000).fit(scaled, y), directory / "logistic.pkl")
    joblib.dump(RandomForestClassifier(100, random_state=0).fit(scaled, y), directory / "forest.pkl")
    digits, labels = load_digits(return_X_y=True)
    mlp = make_pipeline(StandardScaler(), MLPClassifier((128, 64), max_iter=300, random_state=0)).fit(
        digits, labels
    )
    graph = to_onnx(mlp, digits[:1].astype(np.float32), options={"zipmap": False})
    (directory / "mlp.onnx").write_bytes(graph.SerializeToString())
    rows = {
        "logistic": scaled[:ROWS].round(4).tolist(),
        "forest": scaled[:ROWS].round(4).tolist(),
        "mlp": digits[:ROWS].tolist(),
    }
    (directory / "rows.json").write_text(json.dumps(rows))


if __name__ == "__main__":
    train(Path(sys.argv[1]))
