"""The trees inside an estimator, as plain arrays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
import numpy as np

Array = np.ndarray[Any, Any]


@attrs.frozen(eq=False)
class Tree:
    """One binary tree over the features of the estimator that holds it.

    ``narrow``: values are rounded to float32 before they are compared with the thresholds,
    which are doubles all the same. Leaves have a left child below zero.
    """

    feature: Array
    threshold: Array
    left: Array
    right: Array
    narrow: bool

    def path(self, row: Array) -> list[int]:
        """Return the inner nodes that ``row`` passes; it ends at a missing value."""
        node, passed = 0, []
        while self.left[node] >= 0:
            value = row[self.feature[node]]
            if np.isnan(value):
                break
            passed.append(node)
            with np.errstate(over="ignore"):
                value = np.float32(value) if self.narrow else value
            node = int(self.left[node] if value <= self.threshold[node] else self.right[node])
        return passed


def trees_of(estimator: Any) -> Iterator[Tree]:
    """Yield the trees that see the features of ``estimator`` as they come."""
    tree = getattr(estimator, "tree_", None)
    if tree is not None and hasattr(tree, "children_left"):
        yield Tree(tree.feature, tree.threshold, tree.children_left, tree.children_right, narrow=True)
        return
    if hasattr(estimator, "_predictors"):
        yield from _of_histograms(estimator)
        return
    columns = getattr(estimator, "estimators_features_", None)
    for place, member in enumerate(_members(estimator)):
        for one in trees_of(member):
            chosen = None if columns is None or place >= len(columns) else np.asarray(columns[place])
            yield one if chosen is None else attrs.evolve(one, feature=_mapped(one.feature, chosen))


def _members(estimator: Any) -> list[Any]:
    found = getattr(estimator, "estimators_", None)
    if found is None:
        found = getattr(estimator, "calibrated_classifiers_", None)
        return [] if found is None else [one.estimator for one in found]
    flat = found.ravel().tolist() if isinstance(found, np.ndarray) else found
    return [one for one in flat if not isinstance(one, str) and hasattr(one, "fit")]


def _mapped(features: Array, columns: Array) -> Array:
    return np.where(features >= 0, columns[np.maximum(features, 0)], -1)


def _of_histograms(estimator: Any) -> Iterator[Tree]:
    if getattr(estimator, "_preprocessor", None) is not None:
        return  # its features are in another order
    for iteration in estimator._predictors:
        for predictor in iteration:
            nodes = predictor.nodes
            if nodes["is_categorical"].any():
                continue
            left = np.where(nodes["is_leaf"], -1, nodes["left"].astype(np.int64))
            right = nodes["right"].astype(np.int64)
            yield Tree(
                nodes["feature_idx"].astype(np.int64), nodes["num_threshold"], left, right, narrow=False
            )
