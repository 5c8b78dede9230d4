"""A converter of isolation forests: a row's score is told by how deep it falls in random trees."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np

from prism_sklearn.twin.ensembles import Split, of_cart, summed
from prism_sklearn.twin.writer import Writer


def isolation_forest(writer: Writer, model: Any, raw: bool) -> None:
    """Answer labels (1 and -1), decisions, and where there is room for them scores."""
    from sklearn.ensemble._iforest import _average_path_length

    usual = len(model.estimators_) * float(_average_path_length([model._max_samples])[0])
    if not usual:
        raise NotImplementedError("a forest of single samples has no form here")
    trees = [
        _tree(one, columns)
        for one, columns in zip(model.estimators_, model.estimators_features_, strict=True)
    ]
    features = writer.features(narrow=True)
    depth = summed(writer, features, trees, _depths(model), [0] * len(trees), 1)
    share = writer.node("Div", [writer.node("Neg", [depth]), writer.constant(usual)])
    scores = writer.node("Neg", [writer.node("Pow", [writer.constant(2.0), share])])
    decisions = writer.node("Sub", [scores, writer.constant(float(model.offset_))])
    below = writer.cast(writer.node("Less", [decisions, writer.constant(0.0)]), "INT64")
    twice = writer.node("Mul", [below, writer.constant(np.array([2]))])
    writer.node("Sub", [writer.constant(np.array([1])), twice], writer.outputs[0])
    writer.number(decisions, 1)
    writer.number(scores, 2)


def _tree(member: Any, columns: Any) -> Split:
    """Return a tree over the forest's own features; each may have been grown on some of them."""
    split = of_cart(member.tree_)
    chosen = np.asarray(columns)
    return attrs.evolve(split, feature=np.where(split.feature >= 0, chosen[np.maximum(split.feature, 0)], -1))


def _depths(model: Any) -> list[Any]:
    parts = zip(
        model.estimators_, model._decision_path_lengths, model._average_path_length_per_tree, strict=True
    )
    return [(path + rest - 1.0)[member.tree_.children_left < 0] for member, path, rest in parts]
