"""Between which values a model was trained, or splits, as far as its fitted steps tell.

A column is followed through pipelines, column transformers and meta-estimators for as long as it
is itself, or can be turned back into itself. The first step that tells something of it has the word.
Nothing is computed from rows beyond a bounded sample of those that an estimator keeps.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import attrs
import numpy as np

from prism_sklearn.columns import is_missing
from prism_sklearn.trees import Tree, trees_of
from prism_sklearn.walk import bases, inner

log = logging.getLogger("prism.sklearn")

Array = np.ndarray[Any, Any]
Range = tuple[float, float]
Bounds = tuple[Any, Any]

# Three standard deviations hold 99.7 % of what is normally distributed, two interquartile ranges 99.3 %.
_DEVIATIONS = 3.0
_QUARTILES = 2.0
# Looked at of trees, their splits and kept training rows. 64 trees take 0.3 ms, whatever their number.
_MAX_TREES = 64
_MAX_SPLITS = 4096
_MAX_KEPT_VALUES = 65_536


@attrs.frozen
class Way:
    """One column on its way: where it stood in the request, and the steps that changed it since.

    ``changes`` are fitted transformers, with the column's place among theirs.
    """

    place: int
    changes: tuple[tuple[Any, int, int], ...] = ()


Ways = list[Way | None]


def ranges_of(estimator: Any, width: int) -> dict[int, Range]:
    """Return the ranges of the columns, by place, of which ``estimator`` tells one."""
    found: dict[int, Range] = {}
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            _follow(estimator, [Way(place) for place in range(width)], found)
    except Exception:  # a foreign or future estimator: what it told so far is enough
        log.debug("The ranges of %s cannot be read from it.", type(estimator).__name__, exc_info=True)
    return found


# --- the way of the columns ------------------------------------------------------------------


def _follow(step: Any, ways: Ways, found: dict[int, Range]) -> Ways:
    """Learn from one step; return the columns that leave it, None for one that is no longer itself."""
    if isinstance(step, str) or step is None:
        return [] if step == "drop" else ways
    kind = bases(step)
    if "Pipeline" in kind:
        for _, one in step.steps:
            ways = _follow(one, ways, found)
        return ways
    if "ColumnTransformer" in kind:
        return _through_picker(step, ways, found)
    if "FeatureUnion" in kind:
        for _, one, *_ in step.transformer_list:
            _follow(one, ways, found)
        return []
    return _through(step, kind, ways, found)


def _through_picker(step: Any, ways: Ways, found: dict[int, Range]) -> Ways:
    leaving: dict[int, Way | None] = {}
    for name, transformer, _ in step.transformers_:
        entering = [ways[i] for i in step._transformer_to_input_indices.get(name, ())]
        left = _follow(transformer, entering, found)
        places = step.output_indices_.get(name, slice(0))
        # What is added behind them, such as an imputer's indicators, is none of the columns.
        leaving |= dict(zip(range(places.start, places.stop), left, strict=False))
    return [leaving.get(place) for place in range(max(leaving, default=-1) + 1)]


def _through(step: Any, kind: frozenset[str], ways: Ways, found: dict[int, Range]) -> Ways:
    preprocessor = getattr(step, "_preprocessor", None)  # histogram gradient boosting over a data frame
    if preprocessor is not None:
        ways = _follow(preprocessor, ways, found)
    _learn(_told(step, kind, len(ways)), ways, found)
    if any(way and way.place not in found for way in ways):
        for member, entering in _members(step, ways):
            _follow(member, entering, found)
    return _leaving(step, kind, ways)


def _members(step: Any, ways: Ways) -> list[tuple[Any, Ways]]:
    """Return what a meta-estimator hands its columns to, with those that each is given."""
    chosen = getattr(step, "estimators_features_", None)
    support = getattr(step, "support_", None)
    members: list[tuple[Any, Ways]] = []
    for place, member in enumerate(inner(step)):
        entering = ways
        if chosen is not None:
            entering = [ways[i] for i in chosen[place]]
        elif isinstance(support, np.ndarray) and support.dtype == bool and len(support) == len(ways):
            entering = [way for way, kept in zip(ways, support, strict=True) if kept]
        members.append((member, entering))
    return [
        (one, given) for one, given in members if getattr(one, "n_features_in_", len(given)) == len(given)
    ]


def _leaving(step: Any, kind: frozenset[str], ways: Ways) -> Ways:
    if "SelectorMixin" in kind:
        return [way for way, kept in zip(ways, step.get_support(), strict=True) if kept]
    if "SimpleImputer" in kind:
        kept = [step.keep_empty_features or not is_missing(value) for value in step.statistics_]
        return [way for way, one in zip(ways, kept, strict=True) if one]
    if "FunctionTransformer" in kind:
        if step.func is None or _only_checks(step.func):
            return ways
        undone = step.inverse_func is not None and step.feature_names_out == "one-to-one"
    else:
        undone = "OneToOneFeatureMixin" in kind and hasattr(step, "inverse_transform")
    if not undone or hasattr(step, "categories_"):
        return []
    width = len(ways)
    return [
        way and attrs.evolve(way, changes=(*way.changes, (step, place, width)))
        for place, way in enumerate(ways)
    ]


def _only_checks(func: Any) -> bool:
    """Tell whether a function is the check of histogram gradient boosting, which hands on what it gets."""
    return getattr(getattr(func, "func", None), "__name__", "") == "check_array"


def _learn(told: Bounds | None, ways: Ways, found: dict[int, Range]) -> None:
    if told is None:
        return
    lows, highs = (np.asarray(side, dtype=np.float64) for side in told)
    for way, low, high in zip(ways, lows.tolist(), highs.tolist(), strict=False):
        if way is None or way.place in found or not (math.isfinite(low) and math.isfinite(high)):
            continue
        for change in reversed(way.changes):
            low, high = _undone(change, low, high)
        if math.isfinite(low) and math.isfinite(high):
            found[way.place] = (low, high)


def _undone(change: tuple[Any, int, int], low: float, high: float) -> Range:
    """Return which values a transformer made ``low`` and ``high`` of."""
    step, place, width = change
    rows = np.zeros((2, width))
    rows[:, place] = low, high
    one, other = np.asarray(step.inverse_transform(rows))[:, place].tolist()
    return min(one, other), max(one, other)


# --- what a step tells -----------------------------------------------------------------------


def _told(step: Any, kind: frozenset[str], width: int) -> Bounds | None:
    """Return the lowest and highest values of a step's columns, NaN where one is not known."""
    for name, tell in _TELLERS.items():
        if name in kind:
            return tell(step)
    for name in ("_fit_X", "X_train_", "support_vectors_"):
        kept = getattr(step, name, None)
        if isinstance(kept, np.ndarray) and kept.ndim == 2 and kept.shape[1] == width and len(kept):
            return _of_rows(kept)
    return _of_splits(list(islice(trees_of(step), _MAX_TREES)), width)


def _of_deviations(centre: Any, deviation: Any) -> Bounds | None:
    return None if centre is None or deviation is None else (centre - deviation, centre + deviation)


def _of_scaler(step: Any) -> Bounds | None:
    return None if step.var_ is None else _of_deviations(step.mean_, _DEVIATIONS * np.sqrt(step.var_))


def _of_robust(step: Any) -> Bounds | None:
    return None if step.scale_ is None else _of_deviations(step.center_, _QUARTILES * step.scale_)


def _of_power(step: Any) -> Bounds | None:
    if not step.standardize:
        return None
    rows = np.full((2, len(step.lambdas_)), [[-_DEVIATIONS], [_DEVIATIONS]])
    low, high = step.inverse_transform(rows)
    return low, high


def _of_edges(step: Any) -> Bounds:
    edges = step.bin_edges_
    return [one[0] for one in edges], [one[-1] for one in edges]


def _of_normals(step: Any) -> Bounds:
    deviation = _DEVIATIONS * np.sqrt(step.var_)
    return (step.theta_ - deviation).min(axis=0), (step.theta_ + deviation).max(axis=0)


def _of_bins(step: Any) -> Bounds:
    """Return the borders of histogram gradient boosting's bins: quantiles of what it was fitted on."""
    bins = step._bin_mapper
    known = [
        points if len(points) and not category else (math.nan,)
        for points, category in zip(bins.bin_thresholds_, bins.is_categorical_, strict=True)
    ]
    return [points[0] for points in known], [points[-1] for points in known]


def _of_splines(step: Any) -> Bounds:
    splines = step.bsplines_
    return [one.t[one.k] for one in splines], [one.t[-one.k - 1] for one in splines]


_TELLERS: dict[str, Callable[[Any], Bounds | None]] = {
    "MinMaxScaler": lambda step: (step.data_min_, step.data_max_),
    "StandardScaler": _of_scaler,
    "RobustScaler": _of_robust,
    "MaxAbsScaler": lambda step: (-step.max_abs_, step.max_abs_),
    "QuantileTransformer": lambda step: (step.quantiles_[0], step.quantiles_[-1]),
    "PowerTransformer": _of_power,
    "KBinsDiscretizer": _of_edges,
    "SplineTransformer": _of_splines,
    "GaussianNB": _of_normals,
    "BaseHistGradientBoosting": _of_bins,
    "IsotonicRegression": lambda step: ([step.X_min_], [step.X_max_]),
}


def _of_rows(kept: Array) -> Bounds:
    sample = kept[:: max(1, kept.size // _MAX_KEPT_VALUES)]
    return np.fmin.reduce(sample, axis=0), np.fmax.reduce(sample, axis=0)  # which pass over NaN


def _of_splits(trees: Sequence[Tree], width: int) -> Bounds | None:
    """Return the outermost thresholds of each column."""
    if not trees:
        return None
    features = np.concatenate([tree.feature for tree in trees])
    splits = np.concatenate([tree.threshold for tree in trees])
    inside = np.concatenate([tree.left >= 0 for tree in trees]) & np.isfinite(splits) & (features < width)
    features, splits = features[inside], splits[inside]
    every = -(-len(splits) // _MAX_SPLITS) or 1
    features, splits = features[::every], splits[::every]
    low, high = np.full(width, np.inf), np.full(width, -np.inf)
    np.minimum.at(low, features, splits)
    np.maximum.at(high, features, splits)
    known = low <= high
    return np.where(known, low, np.nan), np.where(known, high, np.nan)
