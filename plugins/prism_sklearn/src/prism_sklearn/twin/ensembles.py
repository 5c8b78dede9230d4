"""Converters of trees and of everything that adds trees up, in doubles throughout.

skl2onnx writes the trees of ai.onnx.ml 3, which answer float32 and know of scikit-learn's way
with missing values only for histogram boosting. `TreeEnsemble` of ai.onnx.ml 5 has doubles and
both children of a missing value. A forest's sum is taken tree after tree, as scikit-learn takes
it: its twin agrees bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import attrs
import numpy as np

from prism_sklearn.twin.writer import DOMAIN, Writer

Array = np.ndarray[Any, Any]


@attrs.frozen(eq=False)
class Split:
    """A fitted tree as arrays over its nodes; leaves have no left child, and each a row of ``values``."""

    feature: Array
    threshold: Array
    left: Array
    right: Array
    missing_left: Array
    values: Array


def of_cart(tree: Any) -> Split:
    """Return a tree of `DecisionTree*` and of what is made of them; leaf values are flat."""
    leaves = tree.children_left < 0
    missing = getattr(tree, "missing_go_to_left", np.zeros(tree.node_count))
    values = tree.value[leaves].reshape(int(leaves.sum()), -1)
    return Split(tree.feature, tree.threshold, tree.children_left, tree.children_right, missing, values)


def of_histogram(predictor: Any) -> Split:
    """Return a tree of histogram gradient boosting."""
    nodes = predictor.nodes
    leaves = nodes["is_leaf"].astype(bool)
    if nodes["is_categorical"].any():
        raise NotImplementedError("splits by category have no form in ONNX")
    left = np.where(leaves, -1, nodes["left"].astype(np.int64))
    return Split(
        nodes["feature_idx"].astype(np.int64),
        nodes["num_threshold"],
        left,
        nodes["right"].astype(np.int64),
        nodes["missing_go_to_left"],
        nodes["value"][leaves].reshape(-1, 1),
    )


def tree_attributes(
    trees: Sequence[Split], weights: Sequence[Array], targets: Sequence[Any], count: int
) -> dict[str, Any]:
    """Return the attributes of a `TreeEnsemble`: tree i adds its leaf's weight to the target given."""
    from onnx import numpy_helper

    parts: dict[str, list[Array]] = {}
    roots, nodes, leaves = [], 0, 0
    for tree, target in zip(trees, targets, strict=True):
        roots.append(nodes)
        one, inner, ends = _numbered(tree, nodes, leaves)
        one["leaf_targetids"] = np.broadcast_to(target, ends)
        for name, values in one.items():
            parts.setdefault(name, []).append(values)
        nodes, leaves = nodes + inner, leaves + ends
    joined = {name: np.concatenate(values) for name, values in parts.items()}
    splits = joined.pop("nodes_splits").astype(np.float64)
    return {
        "aggregate_function": 1,
        "post_transform": 0,
        "n_targets": count,
        "tree_roots": roots,
        "nodes_splits": numpy_helper.from_array(splits, "nodes_splits"),
        "nodes_modes": numpy_helper.from_array(np.zeros(nodes, np.uint8), "nodes_modes"),
        "leaf_weights": numpy_helper.from_array(np.concatenate(weights).astype(np.float64), "leaf_weights"),
        **{name: values.astype(np.int64).tolist() for name, values in joined.items()},
    }


def _numbered(tree: Split, nodes: int, leaves: int) -> tuple[dict[str, Array], int, int]:
    """Return one tree's part of the attributes; inner nodes and leaves are counted apart."""
    inner = tree.left >= 0
    if not inner.any():  # a lone leaf: a node that leads to it either way
        lone = np.zeros(1, dtype=np.int64)
        ends = {"nodes_truenodeids": lone + leaves, "nodes_falsenodeids": lone + leaves}
        flags = {"nodes_trueleafs": lone + 1, "nodes_falseleafs": lone + 1}
        rest = {"nodes_featureids": lone, "nodes_splits": lone, "nodes_missing_value_tracks_true": lone}
        return ends | flags | rest, 1, 1
    number = np.where(inner, np.cumsum(inner) - 1 + nodes, np.cumsum(~inner) - 1 + leaves)
    left, right = tree.left[inner], tree.right[inner]
    one = {
        "nodes_featureids": tree.feature[inner],
        "nodes_splits": tree.threshold[inner],
        "nodes_missing_value_tracks_true": tree.missing_left[inner],
        "nodes_truenodeids": number[left],
        "nodes_trueleafs": ~inner[left],
        "nodes_falsenodeids": number[right],
        "nodes_falseleafs": ~inner[right],
    }
    return one, int(inner.sum()), int((~inner).sum())


def summed(
    writer: Writer,
    features: str,
    trees: Sequence[Split],
    weights: Sequence[Array],
    targets: Sequence[Any],
    count: int,
) -> str:
    """Return the sums of the trees, ``(rows, count)``; see `tree_attributes`."""
    attributes = tree_attributes(trees, weights, targets, count)
    # skl2onnx knows nothing newer than 3; `mending` writes the right number over the graph.
    return writer.node("TreeEnsemble", [features], op_domain=DOMAIN, op_version=3, **attributes)


# --- trees and forests -----------------------------------------------------------------------


def forest(writer: Writer, model: Any, raw: bool) -> str:
    """Return the mean of the trees' leaf values, ``(rows, values of a leaf)``."""
    members = getattr(model, "estimators_", [model])
    trees = [of_cart(member.tree_) for member in members]
    features = writer.features(narrow=True)
    if all(((tree.values != 0).sum(axis=1) <= 1).all() for tree in trees):
        # A leaf has a word on one class only, or there is but one number: it adds that.
        weights = [tree.values.sum(axis=1) for tree in trees]
        spoken = [tree.values.argmax(axis=1) for tree in trees]
        total = summed(writer, features, trees, weights, spoken, trees[0].values.shape[1])
    else:
        total = _of_leaves(writer, features, trees)
    return writer.node("Div", [total, writer.constant(float(len(trees)))])


def _of_leaves(writer: Writer, features: str, trees: list[Split]) -> str:
    """Let each tree tell its leaf's number, and look up there what the leaf has to say on every class."""
    ends = np.cumsum([0] + [len(tree.values) for tree in trees])
    numbers = [np.arange(low, high) for low, high in pairwise(ends)]
    leaf = writer.cast(summed(writer, features, trees, numbers, range(len(trees)), len(trees)), "INT64")
    values = writer.constant(np.concatenate([tree.values for tree in trees]))
    told = writer.node("Gather", [values, leaf], axis=0)
    return writer.node("ReduceSum", [told, writer.constant(np.array([1]))], keepdims=0)


def forest_classifier(writer: Writer, model: Any, raw: bool) -> None:
    """Answer labels and probabilities of a tree or forest of one target."""
    if model.n_outputs_ != 1:
        raise NotImplementedError("forests of several targets have no form here")
    mean = forest(writer, model, raw)
    writer.number(mean, 1)
    writer.label(writer.node("ArgMax", [mean], axis=1, keepdims=0), model.classes_)


def forest_regressor(writer: Writer, model: Any, raw: bool) -> None:
    """Answer the numbers of a tree or forest."""
    writer.number(forest(writer, model, raw), 0)


# --- boosting ----------------------------------------------------------------------------------


def _boosted(writer: Writer, trees: list[list[Split]], rate: float, start: Any, narrow: bool) -> str:
    """Return the sums of all rounds; ``trees[i][k]`` adds to target k, on top of ``start``."""
    flat = [tree for turn in trees for tree in turn]
    targets = [k for turn in trees for k in range(len(turn))]
    weights = [rate * tree.values[:, 0] for tree in flat]
    total = summed(writer, writer.features(narrow=narrow), flat, weights, targets, max(targets) + 1)
    return writer.node("Add", [total, writer.constant(np.asarray(start, dtype=np.float64).reshape(1, -1))])


def _gradient(writer: Writer, model: Any) -> str:
    if model.init_ != "zero" and type(model.init_).__name__ not in ("DummyClassifier", "DummyRegressor"):
        raise NotImplementedError("boosting that starts from an estimator has no form here")
    start = model._raw_predict_init(np.zeros((1, model.n_features_in_)))
    trees = [[of_cart(one.tree_) for one in turn] for turn in model.estimators_]
    return _boosted(writer, trees, model.learning_rate, start, narrow=True)


def _histogram(writer: Writer, model: Any) -> str:
    if getattr(model, "_preprocessor", None) is not None:
        raise NotImplementedError("splits by category have no form in ONNX")
    trees = [[of_histogram(one) for one in turn] for turn in model._predictors]
    return _boosted(writer, trees, 1.0, model._baseline_prediction, narrow=False)


def gradient_regressor(writer: Writer, model: Any, raw: bool) -> None:
    """Answer the numbers of `GradientBoostingRegressor`."""
    writer.number(_gradient(writer, model), 0)


def histogram_regressor(writer: Writer, model: Any, raw: bool) -> None:
    """Answer the numbers of `HistGradientBoostingRegressor`, through its link."""
    total = _histogram(writer, model)
    link = type(model._loss.link).__name__
    if link not in ("IdentityLink", "LogLink"):
        raise NotImplementedError(f"the link {link} has no form here")
    writer.number(writer.node("Exp", [total]) if link == "LogLink" else total, 0)


def gradient_classifier(writer: Writer, model: Any, raw: bool) -> None:
    """Answer labels, and probabilities or raw scores, of `GradientBoostingClassifier`."""
    scale = 2.0 if model.loss == "exponential" else 1.0
    _classify(writer, model, _gradient(writer, model), raw, "GreaterOrEqual", scale)


def histogram_classifier(writer: Writer, model: Any, raw: bool) -> None:
    """Answer labels, and probabilities or raw scores, of `HistGradientBoostingClassifier`."""
    _classify(writer, model, _histogram(writer, model), raw, "Greater", 1.0)


def _classify(writer: Writer, model: Any, total: str, raw: bool, above: str, scale: float) -> None:
    if len(model.classes_) > 2:
        index = writer.node("ArgMax", [total], axis=1, keepdims=0)
        told = total if raw else writer.node("Softmax", [total], axis=1)
    else:
        flat = writer.node("Reshape", [total, writer.constant(np.array([-1]))])
        index = writer.cast(writer.node(above, [flat, writer.constant(0.0)]), "INT64")
        told = writer.node("Concat", [total, total], axis=1) if raw else _two_sided(writer, total, scale)
    writer.number(told, 1)
    writer.label(index, model.classes_)


def _two_sided(writer: Writer, total: str, scale: float) -> str:
    scaled = writer.node("Mul", [total, writer.constant(scale)]) if scale != 1.0 else total
    second = writer.node("Sigmoid", [scaled])
    return writer.node("Concat", [writer.node("Sub", [writer.constant(1.0), second]), second], axis=1)


EMITTERS: dict[str, Callable[[Writer, Any, bool], Any]] = {
    "DecisionTreeClassifier": forest_classifier,
    "DecisionTreeRegressor": forest_regressor,
    "ExtraTreeClassifier": forest_classifier,
    "ExtraTreeRegressor": forest_regressor,
    "ExtraTreesClassifier": forest_classifier,
    "ExtraTreesRegressor": forest_regressor,
    "GradientBoostingClassifier": gradient_classifier,
    "GradientBoostingRegressor": gradient_regressor,
    "HistGradientBoostingClassifier": histogram_classifier,
    "HistGradientBoostingRegressor": histogram_regressor,
    "RandomForestClassifier": forest_classifier,
    "RandomForestRegressor": forest_regressor,
}
