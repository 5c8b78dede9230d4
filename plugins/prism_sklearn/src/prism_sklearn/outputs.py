"""What an estimator answers: its methods, tried once on an example, become output tensors."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import attrs
import numpy as np

from prism_core.plugin import ModelLoadFailed, TensorSpec, datatype_of
from prism_sklearn.feeds import Feed

Compute = Callable[[Any], Any]

# Output name -> the method that computes it; the first that there is, is primary.
METHODS = {
    "predictions": "predict",
    "transformed": "transform",
    "probabilities": "predict_proba",
    "decision": "decision_function",
    "scores": "score_samples",
}
# Drawn anew at each call: no answer that a cache may keep.
_RANDOM = {("BernoulliRBM", "scores")}
# Numbers to try where any would do: zeros are refused by some, ones by others.
_NUMBERS = (0.0, 1.0, 0.5)
# Two, so that an output whose first axis is not rows shows itself.
_ROWS = 2


@attrs.frozen
class Output:
    """One output: its tensor and how to compute it. ``compute`` takes what the feed gathered."""

    spec: TensorSpec
    compute: Compute = attrs.field(repr=False)


@attrs.frozen
class Answers:
    """All outputs of an estimator, class labels, and the number its example was made with."""

    outputs: tuple[Output, ...]
    classes: tuple[Any, ...]
    number: float
    tried: bool


def answers_of(estimator: Any, feed: Feed) -> Answers:
    """Find out what ``estimator`` answers by trying it on a plausible example.

    An estimator that takes none of the examples is described from its fitted attributes; see
    ``tried``.

    Raises
    ------
    ModelLoadFailed
        If it has nothing that could answer a request.
    """
    kind = type(estimator).__name__
    methods = {
        name: method
        for name, method in METHODS.items()
        if callable(getattr(estimator, method, None)) and (kind, name) not in _RANDOM
    }
    if not methods:
        raise _unanswering(estimator)
    labels = classes_of(estimator)
    for number in _NUMBERS:
        outputs = _try(estimator, feed, methods, labels, number)
        if outputs:
            names = {output.spec.name for output in outputs}
            classes = tuple(labels) if "probabilities" in names and _plain(labels) else ()
            return Answers(tuple(outputs), classes, number, tried=True)
    return Answers(tuple(_untried(estimator, methods, labels)), (), _NUMBERS[0], tried=False)


def classes_of(estimator: Any) -> list[Any]:
    """Return the class labels as Python values; a list of lists for several targets, [] for none."""
    classes = getattr(estimator, "classes_", None)
    if classes is None:
        return []
    if isinstance(classes, list):
        return [np.asarray(one).tolist() for one in classes]
    values = np.asarray(classes).tolist()
    return values if isinstance(values, list) else []


def dense(values: Any) -> Any:
    """Return an answer as an array of a datatype that can be sent: text as objects, nothing sparse."""
    if type(values) is not np.ndarray:
        if hasattr(values, "toarray"):
            values = values.toarray()
        values = np.asarray(values.to_numpy() if hasattr(values, "to_numpy") else values)
    kind = values.dtype.kind
    if kind == "U":
        return values.astype(object)
    if kind == "S":
        return np.char.decode(values, "utf-8", "replace").astype(object)
    if kind == "f" and values.dtype.itemsize > 8:
        return values.astype(np.float64)
    if kind in "Mm":
        return values.astype(str).astype(object)
    return values


def _one(compute: Compute, axes: int, rows: Any) -> Any:
    values = dense(compute(rows))
    # SparsePCA and its like answer a single row without the row axis.
    return values if values.ndim == axes else values.reshape(1, -1)


def _stacked(compute: Compute, rows: Any) -> Any:
    return np.stack(compute(rows), axis=1)


def _target(compute: Compute, place: int, rows: Any) -> Any:
    return dense(compute(rows)[place])


def _plain(labels: Sequence[Any]) -> bool:
    return bool(labels) and not isinstance(labels[0], list)


def _try(
    estimator: Any, feed: Feed, methods: dict[str, str], labels: Sequence[Any], number: float
) -> list[Output]:
    """Return the outputs that work on an example made with ``number``."""
    found: list[Output] = []
    for name, method in methods.items():
        compute = getattr(estimator, method)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                answer = compute(feed.gather(feed.example(_ROWS, number)))
                found += _described(name, compute, answer, labels)
        except Exception:  # whatever it raises: the example is ours, so is the fault
            continue
    return found


def _described(name: str, compute: Compute, answer: Any, labels: Sequence[Any]) -> list[Output]:
    if isinstance(answer, list) and name == "probabilities":
        return _per_target(name, compute, answer, labels)
    values = dense(answer)
    if values.ndim == 0 or values.shape[0] != _ROWS:
        return []
    columns: tuple[str, ...] = ()
    if name == "probabilities" and _plain(labels) and values.shape[-1] == len(labels):
        columns = tuple(str(label) for label in labels)
    spec = TensorSpec(name, datatype_of(values.dtype), (-1, *values.shape[1:]), columns=columns)
    return [Output(spec, partial(_one, compute, values.ndim))]


def _per_target(name: str, compute: Compute, answer: list[Any], labels: Sequence[Any]) -> list[Output]:
    """Describe probabilities of several targets: one tensor if they share classes, else one a target."""
    known: list[list[Any]] = [list(one) for one in labels] if labels and not _plain(labels) else []
    if all(one.shape == answer[0].shape for one in answer) and all(one == known[0] for one in known):
        columns = tuple(str(label) for label in known[0]) if known else ()
        spec = TensorSpec(name, "FP64", (-1, len(answer), answer[0].shape[1]), columns=columns)
        return [Output(spec, partial(_stacked, compute))]
    outputs = []
    for place, one in enumerate(answer):
        columns = tuple(str(label) for label in known[place]) if known else ()
        spec = TensorSpec(f"{name}_{place}", "FP64", (-1, one.shape[1]), columns=columns)
        outputs.append(Output(spec, partial(_target, compute, place)))
    return outputs


def _untried(estimator: Any, methods: dict[str, str], labels: Sequence[Any]) -> list[Output]:
    found = []
    for name, method in methods.items():
        datatype = "FP64"
        shape: tuple[int, ...] = (-1,)
        if name == "predictions" and _plain(labels):
            datatype = datatype_of(np.asarray(labels).dtype)
        elif name == "probabilities":
            shape = (-1, len(labels) or -1)
        elif name == "transformed":
            shape = (-1, -1)
        found.append(
            Output(TensorSpec(name, datatype, shape), partial(_one, getattr(estimator, method), len(shape)))
        )
    return found


def _unanswering(estimator: Any) -> ModelLoadFailed:
    kind = type(estimator).__name__
    if hasattr(estimator, "fit_predict") or hasattr(estimator, "labels_"):
        return ModelLoadFailed(
            f"{kind} labels the rows that it was fitted on and has no predict for new ones.",
            hint="Serve a clusterer with predict (KMeans, MeanShift), or a classifier fitted on its labels.",
        )
    if hasattr(estimator, "fit_transform"):
        return ModelLoadFailed(
            f"{kind} places the rows that it was fitted on and has no transform for new ones.",
            hint="Serve a transformer with transform, for instance PCA or Isomap.",
        )
    return ModelLoadFailed(
        f"{kind} has none of {', '.join(METHODS.values())}.", hint="Save the fitted estimator that predicts."
    )
