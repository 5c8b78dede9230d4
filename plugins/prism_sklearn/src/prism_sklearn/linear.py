"""Ask linear models and scalers by their formula, without scikit-learn's ceremony around it.

For one row the ceremony takes 80 us, the product of a row and 30 coefficients 2 us. As with
forests, the short way is taken only where it gives the same numbers, bit for bit, on rows
made up for the purpose; values that it was not proven for (other types, numbers that are not
finite) go the long way.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from prism_sklearn.walk import answer_by, of_sklearn, parts

Compute = Callable[[Any], Any]

_TRIAL_ROWS = 8


def shorten_linear(root: Any) -> None:
    """Give every linear model and scaler inside ``root`` the short way."""
    for part in parts(root):
        if not of_sklearn(part) or _answers_frames(part):
            continue
        for method, short in _short_forms(part):
            _shorten(part, method, short)


def _answers_frames(part: Any) -> bool:
    return bool(getattr(part, "_sklearn_output_config", {}).get("transform", "default") != "default")


def _short_forms(part: Any) -> Iterator[tuple[str, Compute]]:
    """Yield the methods of ``part`` that have a short form, and the form."""
    from sklearn.linear_model._base import LinearClassifierMixin

    kind = type(part)
    if getattr(kind, "decision_function", None) is LinearClassifierMixin.decision_function:
        yield "decision_function", partial(_scores, part)
        if kind.predict is LinearClassifierMixin.predict:
            yield "predict", partial(_labels, part)
    elif getattr(kind, "predict", None) in _products():
        yield "predict", partial(_product, part)
    elif kind.__name__ == "StandardScaler":
        yield "transform", partial(_scaled, part)


def _products() -> list[Any]:
    """Return the `predict` that are a product of rows and coefficients; each release has some of them."""
    from sklearn.linear_model import Ridge, _base

    mixins = (getattr(_base, name, None) for name in ("LinearModel", "MultiOutputLinearModel"))
    return [kind.predict for kind in (*mixins, Ridge) if kind is not None]


def _shorten(part: Any, method: str, short: Compute) -> None:
    long = getattr(part, method)
    features = getattr(part, "n_features_in_", 0)
    rows = np.random.default_rng(0).normal(size=(_TRIAL_ROWS, features)) * 10
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a model that knows its columns' names
        try:
            same = _equal(short(rows), long(rows))
        except (AttributeError, TypeError, ValueError):
            return  # another release of scikit-learn, with other insides; or not fitted
    if same:
        answer_by(part, method, partial(_try, short, long, features))


def _equal(one: Any, other: Any) -> bool:
    return bool(np.array_equal(one, other)) and one.dtype == other.dtype


def _try(short: Compute, long: Callable[..., Any], features: int, X: Any, **options: Any) -> Any:
    rows = X  # some of scikit-learn's own code gives it by that name
    if options:
        return long(rows, **options)
    if type(rows) is np.ndarray and rows.dtype == np.float64 and rows.ndim == 2 and rows.shape[1] == features:
        found = short(rows)
        if found is not None:
            return found
    return long(rows)


def _product(model: Any, rows: Any) -> Any:
    coefficients = model.coef_
    found = rows @ (coefficients.T if coefficients.ndim == 2 else coefficients) + model.intercept_
    return found if np.isfinite(found).all() else None


def _scores(model: Any, rows: Any) -> Any:
    found = _product(model, rows)
    return found.reshape(-1) if found is not None and found.ndim == 2 and found.shape[1] == 1 else found


def _labels(model: Any, rows: Any) -> Any:
    scores = _scores(model, rows)
    if scores is None:
        return None
    return model.classes_[(scores > 0).astype(np.intp) if scores.ndim == 1 else scores.argmax(axis=1)]


def _scaled(scaler: Any, rows: Any) -> Any:
    found = rows - scaler.mean_ if scaler.with_mean else rows.copy()
    if scaler.with_std:
        found /= scaler.scale_
    return found if np.isfinite(found).all() else None
