"""A twin in service: the original's signature, computed by onnxruntime. Runs in the runtime only."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from prism_core.plugin import Artifact, BaseModel, Batch, ModelLoadFailed
from prism_sklearn.options import SklearnOptions
from prism_sklearn.twin.plan import Plan, Port, adapted, check, graph_file

# onnxruntime's severities; what goes wrong is raised, and need not be in the log twice.
_LOG_FATAL_ONLY = 4


def open_session(model: str | bytes) -> Any:
    """Open a graph for as many threads as the replica may use; threads do not spin between requests."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS") or 1)
    settings.inter_op_num_threads = 1
    settings.log_severity_level = _LOG_FATAL_ONLY
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])


class TwinModel(BaseModel):
    """Answers as the estimator that it was made from.

    Parameters
    ----------
    directory
        Graphs and plan. A graph is opened when an output of it is first asked for, those of
        the default outputs at once.
    """

    def __init__(self, directory: Path, plan: Plan) -> None:
        self._directory = directory
        self._plan = plan
        self._sessions: dict[int, Any] = {}
        self.signature = plan.signature
        self._default = plan.signature.computed
        self._dtypes = {spec.name: spec.dtype for spec in plan.signature.outputs}
        self._checked = [
            (port, frozenset(known.categories if (known := plan.signature.input(port.tensor)) else ()))
            for port in plan.ports
            if port.refuses
        ]
        for name in self._default:
            self._session(plan.ways[name].graph)

    def predict(self, inputs: Batch) -> Batch:
        """Compute the asked-for outputs.

        Raises
        ------
        InvalidInput
            For values that the original refuses.
        """
        tensors = inputs.tensors
        for port, known in self._checked:
            check(port, tensors[port.tensor], known)
        feeds = {port.graph: _fed(port, tensors[port.tensor]) for port in self._plan.ports}
        wanted = inputs.outputs or self._default
        answers: dict[str, Any] = {}
        for number in {self._plan.ways[name].graph for name in wanted}:
            names = [name for name in wanted if self._plan.ways[name].graph == number]
            values = self._session(number).run([self._plan.ways[name].output for name in names], feeds)
            answers.update(zip(names, map(self._told, names, values), strict=True))
        return Batch(answers)

    def _told(self, name: str, values: Any) -> Any:
        return adapted(values, self._plan.ways[name].adapt).astype(self._dtypes[name], copy=False)

    def _session(self, number: int) -> Any:
        if number not in self._sessions:
            self._sessions[number] = open_session(str(graph_file(self._directory, number)))
        return self._sessions[number]


def _fed(port: Port, values: Any) -> Any:
    if port.column:
        values = values.reshape(-1, 1)
    return np.asarray(values, dtype=port.dtype)


def load(artifact: Artifact, options: SklearnOptions) -> TwinModel:
    """Load a twin.

    Raises
    ------
    ModelLoadFailed
        If it is none.
    """
    try:
        return TwinModel(artifact.path, Plan.read(artifact.path))
    except Exception as error:  # onnxruntime's exceptions have no common base
        raise ModelLoadFailed(
            f"The converted form of {artifact.name!r} cannot be loaded: {type(error).__name__}: {error}",
            hint="Upload the model again with --optimize.",
        ) from error
