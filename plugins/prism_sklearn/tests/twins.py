"""Convert an estimator as a gateway has it done, in this process."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import attrs
import msgspec

from prism_core.manifest import Manifest
from prism_core.optimization import (
    EXAMPLE_FILE,
    FORMS_DIRECTORY,
    OUTCOME_FILE,
    TASK_FILE,
    Optimization,
    Outcome,
    Pace,
    Task,
)
from prism_core.plugin import Artifact, BaseModel
from prism_core.protocols import OPTIMIZE, ReplicaSpec
from prism_core.runtime.optimizing import job
from prism_sklearn import SklearnOptions
from prism_sklearn.twin.model import load


@attrs.frozen
class Converted:
    """What came of a conversion, and the twin if there is one."""

    report: Optimization
    form: Path | None

    @property
    def twin(self) -> BaseModel:
        """The form, loaded as a replica loads it."""
        assert self.form, self.report.reason
        return load(Artifact(self.form, "model.pkl"), SklearnOptions())


def convert(
    directory: Path,
    estimator: Any,
    example: bytes = b"",
    media_type: str = "application/json",
    **options: Any,
) -> Converted:
    """Pickle ``estimator`` and do the task of converting it in ``directory``."""
    directory.mkdir(exist_ok=True)
    (directory / "model").write_bytes(pickle.dumps(estimator))
    manifest = Manifest("m", 1, "sklearn", "sklearn", "model.pkl", "sha256:0", 0, 0.0, options=options)
    (directory / "manifest.json").write_bytes(manifest.to_json())
    task = Task("onnx-twin", media_type if example else "")
    (directory / TASK_FILE).write_bytes(msgspec.json.encode(task))
    (directory / EXAMPLE_FILE).write_bytes(example)
    spec = ReplicaSpec(
        replica="m-1-optimize",
        manifest=directory / "manifest.json",
        artifact=directory / "model",
        directory=directory,
        plugins=("sklearn=prism_sklearn",),
        warm=(),
        environment="server",
        python=sys.executable,
        task=OPTIMIZE,
    )
    assert job.run(spec) == 0
    outcome = msgspec.json.decode((directory / OUTCOME_FILE).read_bytes(), type=Outcome)
    form = directory / FORMS_DIRECTORY / outcome.form if outcome.form else None
    return Converted(outcome.optimization, form)


def faster(*_: Any) -> Pace:
    """Stand for the measurement where a test is about being right: its outcome hangs on the machine."""
    return Pace(original_us=2.0, optimized_us=1.0)
