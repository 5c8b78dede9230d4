"""Converters of support vector machines, in doubles: ai.onnx.ml's own operators know float32 only."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np

from prism_sklearn.twin.writer import Writer

Array = np.ndarray[Any, Any]


def converts(model: Any) -> bool:
    """Tell whether a machine is one of these; those with probabilities couple them in pairs, and are not."""
    return (
        model.kernel in ("linear", "poly", "rbf", "sigmoid")
        and not len(getattr(model, "_probA", ()))
        and isinstance(model.support_vectors_, np.ndarray)
    )


def svm_regressor(writer: Writer, model: Any, raw: bool) -> None:
    """Answer the numbers of `SVR` and `NuSVR`."""
    writer.number(_weighed(writer, model, model.dual_coef_.T, model.intercept_), 0)


def svm_classifier(writer: Writer, model: Any, raw: bool) -> None:
    """Answer labels and decisions of `SVC` and `NuSVC`, each pair of classes having a vote."""
    count = len(model.classes_)
    pairs = list(combinations(range(count), 2))
    decisions = _weighed(writer, model, _by_pairs(model, pairs), model._intercept_)
    zero = writer.constant(0.0)
    # Whom a pair votes for: the first of the two, unless ...
    first, second = _sides(pairs, count)
    above = writer.cast(writer.node("Greater", [decisions, zero]), "DOUBLE")
    votes = _counted(writer, above, first, second)
    writer.label(writer.node("ArgMax", [votes], axis=1, keepdims=0), model.classes_)
    if count == 2:
        writer.number(writer.node("Neg", [decisions]), 1)
    elif model.decision_function_shape == "ovo":
        writer.number(decisions, 1)
    else:
        not_below = writer.node("GreaterOrEqual", [decisions, zero])
        votes = _counted(writer, writer.cast(not_below, "DOUBLE"), first, second)
        writer.number(_one_against_rest(writer, decisions, votes, first - second), 1)


def _weighed(writer: Writer, model: Any, weights: Array, intercept: Array) -> str:
    """Return the kernel's values of every support vector, weighed and summed."""
    values = _KERNELS[model.kernel](writer, model, writer.features(narrow=False))
    total = writer.node("MatMul", [values, writer.constant(np.ascontiguousarray(weights))])
    return writer.node(
        "Add", [total, writer.constant(np.asarray(intercept, dtype=np.float64).reshape(1, -1))]
    )


def _by_pairs(model: Any, pairs: list[tuple[int, int]]) -> Array:
    """Return libsvm's coefficients as a matrix, ``(support vectors, pairs)``."""
    ends = np.cumsum([0, *model._n_support])
    weights = np.zeros((len(model.support_vectors_), len(pairs)))
    for place, (i, j) in enumerate(pairs):
        mine, theirs = slice(ends[i], ends[i + 1]), slice(ends[j], ends[j + 1])
        weights[mine, place] = model._dual_coef_[j - 1, mine]
        weights[theirs, place] = model._dual_coef_[i, theirs]
    return weights


def _sides(pairs: list[tuple[int, int]], count: int) -> tuple[Array, Array]:
    first, second = (np.zeros((len(pairs), count)) for _ in range(2))
    for place, (i, j) in enumerate(pairs):
        first[place, i] = second[place, j] = 1.0
    return first, second


def _counted(writer: Writer, yes: str, first: Array, second: Array) -> str:
    moved = writer.node("MatMul", [yes, writer.constant(first - second)])
    return writer.node("Add", [moved, writer.constant(second.sum(axis=0, keepdims=True))])


def _one_against_rest(writer: Writer, decisions: str, votes: str, sides: Array) -> str:
    """Add to the votes what is less than a vote: how sure the pairs are, as scikit-learn squeezes it."""
    sure = writer.node("MatMul", [decisions, writer.constant(sides)])
    size = writer.node("Add", [writer.node("Abs", [sure]), writer.constant(1.0)])
    squeezed = writer.node("Div", [sure, writer.node("Mul", [size, writer.constant(3.0)])])
    return writer.node("Add", [votes, squeezed])


def _products(writer: Writer, model: Any, features: str) -> str:
    return writer.node("MatMul", [features, writer.constant(np.ascontiguousarray(model.support_vectors_.T))])


def _scaled(writer: Writer, model: Any, features: str) -> str:
    scaled = writer.node("Mul", [_products(writer, model, features), writer.constant(float(model._gamma))])
    return writer.node("Add", [scaled, writer.constant(float(model.coef0))])


def _poly(writer: Writer, model: Any, features: str) -> str:
    return writer.node("Pow", [_scaled(writer, model, features), writer.constant(float(model.degree))])


def _sigmoid(writer: Writer, model: Any, features: str) -> str:
    return writer.node("Tanh", [_scaled(writer, model, features)])


def _rbf(writer: Writer, model: Any, features: str) -> str:
    """Return the kernel by |x|^2 + |s|^2 - 2xs: what rounding makes negative is zero."""
    own = writer.node("ReduceSum", [writer.node("Mul", [features, features]), writer.constant(np.array([1]))])
    theirs = writer.constant((model.support_vectors_**2).sum(axis=1, keepdims=True).T)
    twice = writer.node("Mul", [_products(writer, model, features), writer.constant(2.0)])
    apart = writer.node("Sub", [writer.node("Add", [own, theirs]), twice])
    kept = writer.node("Max", [apart, writer.constant(0.0)])
    return writer.node("Exp", [writer.node("Mul", [kept, writer.constant(-float(model._gamma))])])


_KERNELS: dict[str, Callable[[Writer, Any, str], str]] = {
    "linear": _products,
    "poly": _poly,
    "rbf": _rbf,
    "sigmoid": _sigmoid,
}
