"""Train the three models of ``make demo``, with an example request for each.

    python examples/train_models.py DIRECTORY

The churn rows are made up here, from a fixed seed; the other data sets come with
scikit-learn. Nothing is downloaded.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np
import pandas as pd
from PIL import Image
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

SEED = 7


class Trained(NamedTuple):
    """A model's file, an example request, and what the upload needs to know beside them."""

    artifact: Path
    example: Path
    options: dict[str, Any]


def train_all(directory: Path) -> list[Trained]:
    """Train the three models into ``directory``."""
    makers: list[Callable[[Path], Trained]] = [churn, cancer, digits]
    return [make(directory) for make in makers]


def churn(directory: Path) -> Trained:
    """Make a pipeline over named columns: numbers are scaled, strings encoded."""
    rows = churn_rows(2000)
    columns = ColumnTransformer(
        [
            ("numbers", StandardScaler(), ["tenure", "monthly_charges"]),
            ("strings", OneHotEncoder(handle_unknown="ignore"), ["plan", "payment"]),
        ]
    )
    model = Pipeline([("columns", columns), ("model", LogisticRegression())])
    model.fit(rows.drop(columns="left"), rows["left"])
    path = directory / "churn_model.pkl"
    joblib.dump(model, path)
    request = {"input": [{"tenure": 3, "monthly_charges": 89.5, "plan": "basic", "payment": "check"}]}
    return Trained(path, write_json(directory / "churn.json", request), {})


def churn_rows(count: int) -> pd.DataFrame:
    """Make up customers: the new, the dearly charged and those on the basic plan leave more often."""
    chance = np.random.default_rng(SEED)
    tenure = chance.integers(0, 72, count)
    charges = chance.uniform(20, 120, count).round(2)
    plan = chance.choice(["basic", "plus", "premium"], count)
    payment = chance.choice(["card", "check", "transfer"], count)
    leaning = 0.02 * charges - 0.06 * tenure + 0.8 * (plan == "basic") + 0.5 * (payment == "check") - 0.5
    left = np.where(chance.random(count) < 1 / (1 + np.exp(-leaning)), "yes", "no")
    return pd.DataFrame(
        {"tenure": tenure, "monthly_charges": charges, "plan": plan, "payment": payment, "left": left}
    )


def cancer(directory: Path) -> Trained:
    """Make a forest on a data set that scikit-learn ships."""
    data = load_breast_cancer(as_frame=True)
    model = RandomForestClassifier(n_estimators=100, random_state=SEED).fit(data.data, data.target)
    path = directory / "cancer.joblib"
    joblib.dump(model, path, compress=3)
    return Trained(path, write_json(directory / "cancer.json", {"input": [data.data.iloc[0].to_dict()]}), {})


def digits(directory: Path) -> Trained:
    """Make an image classifier for 8 x 8 digits and convert it to ONNX."""
    from skl2onnx import to_onnx

    pixels, labels = load_digits(return_X_y=True)
    model = MLPClassifier((32,), solver="lbfgs", random_state=SEED).fit(pixels / 16, labels)
    graph = to_onnx(model, pixels[:1].astype(np.float32), options={"zipmap": False}, target_opset=17)
    path = directory / "digits.onnx"
    path.write_bytes(graph.SerializeToString())
    example = directory / "digit.png"
    Image.fromarray((pixels[0] * 255 / 16).astype(np.uint8).reshape(8, 8)).save(example)
    # The model was trained on values from 0 to 1, a picture's go from 0 to 255.
    return Trained(path, example, {"image": {"scale": 1 / 255}})


def write_json(path: Path, value: Any) -> Path:
    """Write a request body."""
    path.write_text(json.dumps(value))
    return path


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    for artifact, example, options in train_all(target):
        print(artifact, example, json.dumps(options))
