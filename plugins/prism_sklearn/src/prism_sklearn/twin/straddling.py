"""Rows on both sides of a tree's thresholds, that get there on their way down the tree.

Each starts as an ordinary row. A node on its path is chosen, and the one column that the
node's feature depends on is moved to where the comparison turns: the two neighbouring
doubles, found by bisection through whatever steps stand before the trees.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import numpy as np

from prism_core.plugin import Batch
from prism_sklearn.model import SklearnModel
from prism_sklearn.trees import Tree, trees_of

PAIRS = 768
# Trees beyond these are like them; a forest's are alike by design.
MOST_TREES = 64
# Halvings until any two doubles are neighbours.
_STEPS = 70
# Rows that show which columns a feature depends on.
_PROBES = 16

Array = np.ndarray[Any, Any]
Place = tuple[str, int]


@attrs.frozen
class Turn:
    """A comparison that a row comes to: its row, the feature and the threshold."""

    row: int
    feature: int
    threshold: float
    narrow: bool


def straddling(model: SklearnModel, rows: Batch, generator: np.random.Generator) -> Iterator[Batch]:
    """Yield rows that straddle the thresholds of the model's trees; none where it has no trees."""
    before, last = chain(model)
    trees = list(trees_of(last))
    if not trees:
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            features = before(rows.tensors)
            turns = _turns(trees, features, generator)
            if turns:
                yield from _around(before, rows, features, turns, generator)
    except ValueError:  # rows in between are refused: the core's own search has to do
        return


def chain(model: SklearnModel) -> tuple[Callable[[Any], Array], Any]:
    """Return what makes features of a request's tensors, and the estimator that gets them."""
    steps: list[Any] = []
    last = model.behind
    while True:
        last = getattr(last, "best_estimator_", last)
        inside = getattr(last, "steps", None)
        if not isinstance(inside, list):
            break
        steps += [one for _, one in inside[:-1] if one is not None and not isinstance(one, str)]
        last = inside[-1][1]

    def before(tensors: Any) -> Array:
        values = model.feed.gather(tensors)
        for step in steps:
            values = step.transform(values)
        values = values.toarray() if hasattr(values, "toarray") else values
        return np.asarray(values.to_numpy() if hasattr(values, "to_numpy") else values, dtype=np.float64)

    return before, last


def _turns(trees: list[Tree], features: Array, generator: np.random.Generator) -> list[Turn]:
    chosen = [trees[i] for i in generator.permutation(len(trees))[:MOST_TREES]]
    turns = []
    for number in range(PAIRS):
        tree = chosen[number % len(chosen)]
        row = int(generator.integers(0, len(features)))
        path = tree.path(features[row])
        if path:
            node = path[int(generator.integers(0, len(path)))]
            turns.append(Turn(row, int(tree.feature[node]), float(tree.threshold[node]), tree.narrow))
    return turns


def _around(
    before: Callable[[Any], Array],
    rows: Batch,
    features: Array,
    turns: list[Turn],
    generator: np.random.Generator,
) -> Iterator[Batch]:
    depends = _dependence(before, rows, features)
    kept = [turn for turn in turns if depends.get(turn.feature)]
    if not kept:
        return
    places = [depends[t.feature][int(generator.integers(0, len(depends[t.feature])))] for t in kept]
    base = {name: np.array(values[[t.row for t in kept]]) for name, values in rows.tensors.items()}
    low, high = _brackets(rows, places, kept)
    feature = np.array([t.feature for t in kept])
    threshold = np.array([t.threshold for t in kept])
    narrow = np.array([t.narrow for t in kept])

    def goes_left(values: Array) -> Array:
        reached = before(_placed(base, places, values))[np.arange(len(kept)), feature]
        with np.errstate(over="ignore"):
            rounded = reached.astype(np.float32).astype(np.float64)
        return np.asarray(np.where(narrow, rounded, reached) <= threshold)

    at_low = goes_left(low)
    turning = at_low != goes_left(high)
    for _ in range(_STEPS):
        middle = low / 2 + high / 2
        same = goes_left(middle) == at_low
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    for values in _neighbours(low, high):
        yield Batch({name: v[turning] for name, v in _placed(base, places, values).items()})


def _neighbours(low: Array, high: Array) -> Iterator[Array]:
    """Yield the two sides of the turn, and what float32 makes of them and of their surroundings."""
    yield low
    yield high
    yield np.nextafter(low, low - (high - low) * 4)
    yield np.nextafter(high, high + (high - low) * 4)
    with np.errstate(over="ignore"):
        for side in (low, high):
            narrow = side.astype(np.float32)
            up = np.nextafter(narrow, np.float32(np.inf))
            down = np.nextafter(narrow, np.float32(-np.inf))
            for one in (narrow, up, down):
                yield one.astype(np.float64)
            # Between two float32: what rounds down and what rounds up.
            yield narrow / 2.0 + up.astype(np.float64) / 2.0
            yield side + np.spacing(np.abs(narrow)).astype(np.float64) * 0.3


def _dependence(before: Callable[[Any], Array], rows: Batch, features: Array) -> dict[int, list[Place]]:
    """Return for each feature the columns of floats that it changes with."""
    count = min(_PROBES, rows.rows)
    start = {name: values[:count] for name, values in rows.tensors.items()}
    found: dict[int, list[Place]] = {}
    for name, values in start.items():
        if values.dtype.kind != "f":
            continue
        for column in range(values.reshape(count, -1).shape[1]):
            moved = np.array(values)
            flat = moved.reshape(count, -1)
            flat[:, column] = np.nan_to_num(flat[:, column]) * 1.5 + 1.0
            changed = before(start | {name: moved}) != features[:count]
            for feature in np.flatnonzero(changed.any(axis=0)):
                found.setdefault(int(feature), []).append((name, column))
    return found


def _brackets(rows: Batch, places: list[Place], turns: list[Turn]) -> tuple[Array, Array]:
    """Return for each turn numbers far on either side of where the column's values are."""
    ends: dict[Place, tuple[float, float]] = {}
    for name, column in set(places):
        values = rows.tensors[name].reshape(rows.rows, -1)[:, column]
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
        reach = max(high - low, abs(high), 1.0) * 8
        ends[name, column] = low - reach, high + reach
    sides = [ends[place] for place in places]
    return np.array([low for low, _ in sides]), np.array([high for _, high in sides])


def _placed(base: dict[str, Any], places: list[Place], values: Array) -> dict[str, Any]:
    placed = {name: np.array(array) for name, array in base.items()}
    for row, ((name, column), value) in enumerate(zip(places, values, strict=True)):
        placed[name].reshape(len(values), -1)[row, column] = value
    return placed
