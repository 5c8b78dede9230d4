"""Compare our audit with the scanners of PyPI on one corpus: ``python -m bench.scanners``.

The attacks are those of the tests of the plugin that run code when they are loaded carelessly (all they do is
to touch a file); the models are scikit-learn's own, as pickle and as joblib, plain and compressed.
"""

from __future__ import annotations

import importlib.util
import io
import json
import pickle
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import joblib

from bench import environments
from prism_core.plugin import Artifact, ArtifactError
from prism_sklearn.audit import findings
from prism_sklearn.content import looks_pickled, opening

HERE = Path(__file__).parent
TESTS = HERE.parents[1] / "plugins" / "prism_sklearn" / "tests"
SCANNERS = ("picklescan", "modelscan", "fickling")
MODELS = [
    "ColumnTransformer",
    "GaussianNB",
    "GradientBoostingClassifier",
    "HistGradientBoostingClassifier",
    "KMeans",
    "KNeighborsClassifier",
    "LinearRegression",
    "LogisticRegression",
    "MLPClassifier",
    "OneHotEncoder",
    "PCA",
    "Pipeline",
    "RandomForestClassifier",
    "Ridge",
    "SVC",
    "TfidfVectorizer",
]


def beside(name: str) -> Any:
    """Load a module of the plugin's tests."""
    spec = importlib.util.spec_from_file_location(name, TESTS / f"{name}.py")
    assert spec
    assert spec.loader
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_attacks(directory: Path) -> None:
    """Write the attacks that run code."""
    for number, attack in enumerate(one for one in beside("attacks").attacks() if one.fires):
        path = directory / f"{number:03}{attack.suffix}"
        path.write_bytes(attack.make(directory / "marker"))


def write_models(directory: Path) -> None:
    """Write models in the three forms that people save."""
    cases = beside("sweep_estimators")
    for name in MODELS:
        estimator = cases.case(name).estimator
        packed = io.BytesIO()
        joblib.dump(estimator, packed, compress=3)
        (directory / f"{name}.pkl").write_bytes(pickle.dumps(estimator))
        joblib.dump(estimator, directory / f"{name}.joblib")
        (directory / f"{name}-packed.joblib").write_bytes(packed.getvalue())


def ours(directory: Path) -> dict[str, str]:
    """Return our own verdicts; what does not begin as a pickle does is not unpickled."""
    verdicts = {}
    for path in sorted(directory.iterdir()):
        artifact = Artifact(path, path.name)
        try:
            fine = looks_pickled(opening(artifact)) and not list(findings(artifact))
        except ArtifactError:
            fine = False
        verdicts[path.name] = "ok" if fine else "blocked"
    return verdicts


def theirs(scanner: str, directory: Path) -> dict[str, str]:
    """Return a scanner's verdicts."""
    command = [environments.CACHE / "scanners" / "bin" / "python", HERE / "judge.py", scanner, directory]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
    verdicts: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return verdicts


def ensure() -> None:
    """Install the scanners into an environment of their own."""
    place = environments.CACHE / "scanners"
    if (place / "ready").exists():
        return
    subprocess.run([environments.UV, "venv", "-q", "--clear", "--python", sys.executable, place], check=True)
    install = [environments.UV, "pip", "install", "-q", "-p", place, "-r", HERE / "requirements.txt"]
    subprocess.run(install, check=True)
    (place / "ready").touch()


def main() -> None:
    """Print the table."""
    ensure()
    print("| | attacks blocked | passed | not read | models passed | blocked | not read | seconds |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as attacks, tempfile.TemporaryDirectory() as models:
        write_attacks(Path(attacks))
        write_models(Path(models))
        for scanner in ("PRISM", *SCANNERS):
            begun = time.perf_counter()
            judged = [
                Counter((ours(Path(d)) if scanner == "PRISM" else theirs(scanner, Path(d))).values())
                for d in (attacks, models)
            ]
            took = time.perf_counter() - begun
            bad, good = judged
            print(
                f"| {scanner} | {bad['blocked']} | {bad['ok']} | {bad['error']} "
                f"| {good['ok']} | {good['blocked']} | {good['error']} | {took:.1f} |"
            )
        assert not (Path(attacks) / "marker").exists()


if __name__ == "__main__":
    main()
