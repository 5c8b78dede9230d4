"""What a twin is worth: one execution, a replica's start and its memory, beside what it stands for.

    .venv/bin/python -m bench.optimize [--rounds 9] [--replicas 8]

Models are trained on scikit-learn's breast cancer data (30 features). Microseconds are
medians of rounds taken in turns: the estimator's own ``predict``, the form that PRISM serves
without ``--optimize``, and its twin in ONNX, whether or not it would be served.
"""

from __future__ import annotations

import argparse
import asyncio
import pickle
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from bench.start import first_answer
from prism_core.isolation.process import ProcessConfig, open_processes
from prism_core.manifest import Manifest
from prism_core.optimization import (
    FORMS_DIRECTORY,
    OUTCOME_FILE,
    TASK_FILE,
    Optimization,
    Outcome,
    Task,
)
from prism_core.plugin import Artifact, BaseModel, Batch
from prism_core.plugins import load_plugins
from prism_core.protocols import ReplicaSpec
from prism_core.runtime.optimizing import job

SIZES = (1, 16, 256)
ROUND_S = 0.02


def estimators() -> tuple[dict[str, Any], np.ndarray[Any, Any]]:
    x, y = load_breast_cancer(return_X_y=True)
    scaled = StandardScaler().fit_transform(x)
    made = {
        "forest, 100 trees": RandomForestClassifier(100, random_state=0).fit(scaled, y),
        "forest of numbers, 100 trees": RandomForestRegressor(100, random_state=0).fit(
            scaled[:, 1:], x[:, 0]
        ),
        "gradient boosting, 100 rounds": GradientBoostingClassifier(random_state=0).fit(scaled, y),
        "histogram boosting, 100 rounds": HistGradientBoostingClassifier(random_state=0).fit(scaled, y),
        "logistic regression": LogisticRegression(max_iter=1000).fit(scaled, y),
        "scaler and logistic regression": make_pipeline(StandardScaler(), LogisticRegression()).fit(x, y),
        "support vector machine": SVC().fit(scaled, y),
    }
    return made, scaled


def specification(directory: Path, loader: str, artifact: Path, replica: str) -> ReplicaSpec:
    plugins = load_plugins(("sklearn",), built_in=())
    place = directory / replica
    place.mkdir()
    manifest = Manifest("bench", 1, loader, "sklearn", "model.pkl", "sha256:0", 0, 0.0)
    (place / "manifest.json").write_bytes(manifest.to_json())
    (place / TASK_FILE).write_bytes(msgspec.json.encode(Task("onnx-twin")))
    return ReplicaSpec(
        replica=replica,
        manifest=place / "manifest.json",
        artifact=artifact,
        directory=place,
        plugins=(plugins.plugins["sklearn"].reference,),
        warm=plugins.loaders[loader].requires,
        environment="server",
        python=sys.executable,
    )


def converted(directory: Path, estimator: Any) -> tuple[Optimization, Path, Path]:
    """Return the report, the artifact and the form in doubles."""
    directory.mkdir()
    artifact = directory / "model.pkl"
    artifact.write_bytes(pickle.dumps(estimator))
    spec = specification(directory, "sklearn", artifact, "job")
    job.run(spec)
    outcome = msgspec.json.decode((spec.directory / OUTCOME_FILE).read_bytes(), type=Outcome)
    return outcome.optimization, artifact, spec.directory / FORMS_DIRECTORY / "float64"


def loaded(loader: str, path: Path) -> BaseModel:
    found = load_plugins(("sklearn",), built_in=()).loaders[loader]
    return found.load(Artifact(path, "model.pkl"), found.options())


def medians(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Return microseconds a call, measured in turns."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    repeats = {name: max(1, int(ROUND_S / _taken_s(call, 3))) for name, call in calls.items()}
    for _ in range(rounds):
        for name, call in calls.items():
            taken[name].append(_taken_s(call, repeats[name]) * 1e6)
    return {name: statistics.median(times) for name, times in taken.items()}


def _taken_s(call: Callable[[], Any], count: int) -> float:
    begun = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - begun) / count


def measure(name: str, estimator: Any, x: np.ndarray[Any, Any], place: Path, rounds: int) -> None:
    plain = pickle.loads(pickle.dumps(estimator))  # PRISM changes the one that it serves
    report, artifact, form = converted(place, estimator)
    original, twin = loaded("sklearn", artifact), loaded("sklearn-onnx", form)
    print(
        f"\n{name}: {report.state}, {report.rows} rows, largest error {report.largest_error:.1e}"
        f", {report.took_s:.1f} s{', ' + report.reason if report.reason else ''}"
    )
    print(
        f"  bytes: {artifact.stat().st_size} as pickle,"
        f" {sum(p.stat().st_size for p in form.iterdir())} converted"
    )
    for size in SIZES:
        rows = np.ascontiguousarray(x[:size, : estimator.n_features_in_])
        batch = Batch({"input": rows})
        calls = {
            "scikit-learn": lambda rows=rows: plain.predict(rows),
            "PRISM": lambda batch=batch: original.predict(batch),
            "twin": lambda batch=batch: twin.predict(batch),
        }
        found = medians(calls, rounds)
        text = "  ".join(f"{way} {us:9.1f}" for way, us in found.items())
        print(f"  {size:4} rows, us: {text}   x{found['PRISM'] / found['twin']:.1f}")


async def starts(loader: str, path: Path, directory: Path, replicas: int) -> None:
    async with open_processes(ProcessConfig()) as launcher:
        specs = [specification(directory, loader, path, f"{loader}-{n}") for n in range(replicas + 1)]
        first, *others = [await first_answer(launcher, spec) for spec in specs]
    times, sizes = zip(*others, strict=True)
    print(
        f"  {loader:14} first {first[0]:7.1f} ms (with the zygote), then {statistics.median(times):6.1f} ms;"
        f" own memory {statistics.median(sizes):.1f} MB"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--replicas", type=int, default=8)
    arguments = parser.parse_args()
    made, x = estimators()
    with tempfile.TemporaryDirectory() as directory:
        for number, (name, estimator) in enumerate(made.items()):
            measure(name, estimator, x, Path(directory) / str(number), arguments.rounds)
        print("\nstart of a replica of the 100-tree forest, to its first answer:")
        forest = RandomForestClassifier(100, random_state=0).fit(x[:, :4], x[:, 4] > 0)
        _, artifact, form = converted(Path(directory) / "start", forest)
        for loader, path in (("sklearn", artifact), ("sklearn-onnx", form)):
            asyncio.run(starts(loader, path, Path(directory), arguments.replicas))


if __name__ == "__main__":
    main()
