"""Serve every estimator of the scikit-learn that is installed here, and compare bit for bit: ``answers.py``.

Run by `test_sweep_releases` in environments of its own, where there is neither pytest nor pandas. Prints as
JSON how many were asked, which did not answer as themselves, and which this release cannot fit.
"""

from __future__ import annotations

import json
import pickle
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from prism_core.inputs import prism_normalizers
from prism_core.plugin import Artifact, Request
from prism_sklearn import SklearnOptions, prism_inspect_artifact, prism_loaders
from prism_sklearn.outputs import METHODS, dense

sys.path.insert(0, str(Path(__file__).parent))

import sweep_estimators as sweep

JSON = next(one for one in prism_normalizers() if one.media_type == "application/json")
LOADER = next(iter(prism_loaders()))


def wrong_in(case: Any, path: Path) -> str:
    """Return what is wrong with the answers of a case, "" for nothing."""
    path.write_bytes(pickle.dumps(case.estimator))
    artifact = Artifact(path, path.name)
    findings = [
        one.message for one in prism_inspect_artifact(artifact, LOADER, ()) if one.severity == "block"
    ]
    if findings:
        return str(findings)
    model = LOADER.load(artifact, SklearnOptions())
    names = [spec.name for spec in model.signature.outputs]
    body = json.dumps({"input": case.rows, "outputs": names}).encode()
    answer = model.predict(JSON.normalize(memoryview(body), model.signature, Request({}, {})))
    differing = [name for name in names if not _equal(_wanted(case, name), answer[name])]
    return f"{differing} of {names}" if differing else ""


def _wanted(case: Any, name: str) -> Any:
    method, _, place = name.partition("_")
    wanted = getattr(case.estimator, METHODS[method])(case.direct)
    if isinstance(wanted, list):
        wanted = wanted[int(place)] if place else np.stack(wanted, axis=1)
    return dense(wanted)


def _equal(wanted: Any, got: Any) -> bool:
    return wanted.shape == got.shape and np.array_equal(wanted, got, equal_nan=wanted.dtype.kind == "f")


def main() -> None:
    """Ask all."""
    warnings.simplefilter("ignore")  # small data: estimators have much to say
    wrong: dict[str, str] = {}
    unfitted: dict[str, str] = {}
    served = sweep.served()
    with tempfile.TemporaryDirectory() as directory:
        for name in served:
            try:
                case = sweep.case(name)
            except Exception as error:
                unfitted[name] = str(error)
                continue
            try:
                what = wrong_in(case, Path(directory, "model.pkl"))
            except Exception as error:  # one must not hide the others
                what = f"{type(error).__name__}: {error}"
            wrong |= {name: what} if what else {}
    print(json.dumps({"asked": len(served) - len(unfitted), "wrong": wrong, "unfitted": unfitted}))


if __name__ == "__main__":
    main()
