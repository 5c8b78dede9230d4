"""Train the models of the benchmarks: ``python bench/models.py DIRECTORY [--pickles]``.

M1 a logistic regression, M2 a 100-tree forest, both on scikit-learn's breast cancer data
(30 features), M2 again as ONNX, M3 a small MLP on its digits, as ONNX. Same seed, same models.
``--pickles`` writes just the first two, for an environment with another scikit-learn.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import joblib
import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

ROWS = 500


def train_pickles(directory: Path, x: np.ndarray, y: np.ndarray) -> RandomForestClassifier:
    """Write ``logistic.pkl`` and ``forest.pkl``; return the forest."""
    forest = RandomForestClassifier(100, random_state=0).fit(x, y)
    joblib.dump(LogisticRegression(max_iter=1000).fit(x, y), directory / "logistic.pkl")
    joblib.dump(forest, directory / "forest.pkl")
    return forest


def save_onnx(model: object, x: np.ndarray, path: Path) -> None:
    """Write ``model`` as ONNX with float32 inputs."""
    from skl2onnx import to_onnx

    graph = to_onnx(model, x[:1].astype(np.float32), options={"zipmap": False})
    path.write_bytes(graph.SerializeToString())


def train(directory: Path, pickles: bool = False) -> None:
    """Write the models and the rows to ask them."""
    directory.mkdir(parents=True, exist_ok=True)
    x, y = load_breast_cancer(return_X_y=True)
    scaled = StandardScaler().fit_transform(x)
    forest = train_pickles(directory, scaled, y)
    if pickles:
        return
    digits, labels = load_digits(return_X_y=True)
    mlp = make_pipeline(StandardScaler(), MLPClassifier((128, 64), max_iter=300, random_state=0))
    save_onnx(forest, scaled, directory / "forest.onnx")
    save_onnx(mlp.fit(digits, labels), digits, directory / "mlp.onnx")
    cancer = scaled[:ROWS].round(4).tolist()
    rows = {"logistic": cancer, "forest": cancer, "forest-onnx": cancer, "mlp": digits[:ROWS].tolist()}
    (directory / "rows.json").write_text(json.dumps(rows))


if __name__ == "__main__":
    train(Path(sys.argv[1]), "--pickles" in sys.argv)
