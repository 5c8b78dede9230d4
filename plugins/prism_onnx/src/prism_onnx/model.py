"""A loaded ONNX model. Runs in the runtime only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np

from prism_core.plugin import Artifact, ArtifactError, BaseModel, Batch, Signature
from prism_onnx.artifact import model_file
from prism_onnx.faults import not_computed
from prism_onnx.graph import Graph, describe, with_rows
from prism_onnx.options import OnnxOptions
from prism_onnx.session import open_session
from prism_onnx.trial import Trial, accepted, answers_alike, try_rows


class OnnxModel(BaseModel):
    """A graph in an onnxruntime session."""

    def __init__(self, session: Any, graph: Graph) -> None:
        from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

        self.signature = graph.signature
        self._graph = graph
        self._refused = InvalidArgument
        self._session = session
        self._execute = self._execute_narrow if graph.narrow else session.run
        self._example: Mapping[str, Any] | None = None
        self._names = [spec.name for spec in graph.signature.outputs]
        self._computed = graph.signature.computed

    def predict(self, inputs: Batch) -> Batch:
        """Compute the asked-for outputs, and only those.

        Raises
        ------
        InvalidInput
            If the graph refuses shapes or values that the signature could not rule out.
        """
        wanted = inputs.outputs or self._computed
        return Batch(dict(zip(wanted, self._compute(inputs.tensors, wanted), strict=True)))

    def example(self) -> Batch | None:
        """Return an input that the model accepts, with sizes for its free axes."""
        if self._example is None:
            self._example = accepted(self.signature.inputs, self._compute)
        return Batch(self._example) if self._example else None

    def try_rows(self) -> Trial:
        """Find out whether requests may be joined, and keep the trial's input as the example."""
        trial = try_rows(self.signature.inputs, self._compute)
        self._example = trial.example
        return trial

    def repeats(self) -> bool:
        """Return whether the example is answered alike twice, as far as it can be found out."""
        example = self.example()
        return example is None or answers_alike(example.tensors, self._compute)

    def _compute(self, tensors: Mapping[str, Any], wanted: Sequence[str] = ()) -> Sequence[Any]:
        try:
            values: Sequence[Any] = self._execute(wanted or self._names, self._feeds(tensors))
        except self._refused as error:
            raise not_computed(error) from error
        writers = self._graph.writers
        if writers:
            values = [
                writers[n](v) if n in writers else v
                for n, v in zip(wanted or self._names, values, strict=True)
            ]
        return values

    def _feeds(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        # onnxruntime takes arrays only, not numpy's scalars.
        feeds: dict[str, Any] = {
            name: tensor if isinstance(tensor, list) else np.asarray(tensor)
            for name, tensor in tensors.items()
        }
        for name in self._graph.sequences:
            feeds[name] = [np.asarray(one) for one in feeds[name]]
        return feeds

    def _execute_narrow(self, wanted: Sequence[str], feeds: Mapping[str, Any]) -> Sequence[Any]:
        from onnxruntime import OrtValue

        narrow = self._graph.narrow
        values = {
            n: narrow[n].put(v) if n in narrow else OrtValue.ortvalue_from_numpy(v) for n, v in feeds.items()
        }
        answers = self._session.run_with_ort_values(list(wanted), values)
        return [narrow[n].take(v) if n in narrow else v.numpy() for n, v in zip(wanted, answers, strict=True)]


def load(artifact: Artifact, options: OnnxOptions) -> OnnxModel:
    """Return the model of ``artifact``.

    Raises
    ------
    ArtifactError, ModelLoadFailed
        If it cannot be served, with the reason and the next step.
    """
    path = model_file(artifact)
    session = open_session(path, options)
    model = OnnxModel(session, describe(session, path))
    _decide_rows(model, options)
    return model


def _decide_rows(model: OnnxModel, options: OnnxOptions) -> None:
    signature = model.signature
    if options.joins is None and model._graph.free_rows:
        trial = model.try_rows()
        if trial.objection:
            model.warnings = (_advice(trial),)
        else:
            signature = with_rows(_with_ranks(signature, trial))
        random = trial.random
    else:
        if options.joins:
            _check_first_axes(signature)
            signature = with_rows(signature)
        random = not model.repeats()
    model.signature = attrs.evolve(signature, deterministic=not random)


def _check_first_axes(signature: Signature) -> None:
    for spec in signature.inputs:
        if not spec.shape or spec.shape[0] >= 0:
            raise ArtifactError(
                f"Option batch=true needs inputs with a free first axis; {spec.name!r} is {spec.shape}.",
                hint="Leave the option out, or convert the model with a dynamic batch axis.",
            )


def _with_ranks(signature: Signature, trial: Trial) -> Signature:
    outputs = tuple(
        spec if spec.shape else attrs.evolve(spec, shape=(-1,) * np.ndim(values))
        for spec, values in zip(signature.outputs, trial.answers, strict=True)
    )
    return attrs.evolve(signature, outputs=outputs)


def _advice(trial: Trial) -> str:
    return f"Requests to this model are not joined, because {trial.objection}; option batch=true joins them."
