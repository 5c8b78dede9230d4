"""Visit the estimators inside an estimator, and prepare them for serving."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import update_wrapper
from typing import Any

# Attributes under which meta-estimators keep what they fitted, in order of preference.
INNER = (
    "best_estimator_",
    "estimators_",  # before estimator_, which is an unfitted template in ensembles
    "estimator_",
    "regressor_",
    "classifier_",
    "calibrated_classifiers_",
    "estimator",
)


def parts(root: Any) -> Iterator[Any]:
    """Yield ``root`` and every object with estimator-like state inside it, each once.

    Looks into attributes, lists, tuples and dicts of objects that scikit-learn or a class with
    ``fit`` owns; arrays, trees and foreign objects are left alone.
    """
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list | tuple):
            waiting.extend(reversed(value))
        elif isinstance(value, dict):
            waiting.extend(reversed(value.values()))
        elif _has_parts(value) and id(value) not in seen:
            seen.add(id(value))
            yield value
            waiting.extend(reversed(vars(value).values()))


def _has_parts(value: Any) -> bool:
    if isinstance(value, type) or not hasattr(value, "__dict__"):
        return False
    return of_sklearn(value) or callable(getattr(value, "fit", None))


def bases(value: Any) -> frozenset[str]:
    """Return the names of an object's class and of all that it derives from."""
    return frozenset(base.__name__ for base in type(value).__mro__)


def of_sklearn(value: Any) -> bool:
    """Tell whether the object's own class is one of scikit-learn's."""
    return type(value).__module__.partition(".")[0] == "sklearn"


def set_n_jobs(root: Any, n_jobs: int) -> None:
    """Let every estimator inside ``root`` use ``n_jobs`` workers; None, their default, is one."""
    for part in parts(root):
        if "n_jobs" in vars(part) and (part.n_jobs or 1) != n_jobs:
            part.n_jobs = n_jobs


def answer_by(part: Any, method: str, compute: Callable[..., Any]) -> None:
    """Let ``part`` answer ``method`` by ``compute``.

    On the object, not its class: whatever holds it calls it as before. scikit-learn asks a
    method for its name, so ``compute`` gets that.
    """
    setattr(part, method, update_wrapper(compute, getattr(part, method)))


def inner(estimator: Any) -> list[Any]:
    """Return the fitted estimators that a meta-estimator hands its input to; [] if it is none.

    Members of an ensemble are alike, so the first of a long list stands for all.
    """
    for name in INNER:
        found = vars(estimator).get(name) if hasattr(estimator, "__dict__") else None
        if found is None or hasattr(
            found, "__array__"
        ):  # gradient boosting's trees: not what sees a row first
            continue
        members = found[:20] if isinstance(found, list) else [found]
        members = [m if hasattr(m, "fit") else getattr(m, "estimator", m) for m in members]
        fitted = [m for m in members if is_fitted(m)]
        if fitted:
            return fitted
    return []


def is_fitted(estimator: Any) -> bool:
    """Tell whether scikit-learn considers ``estimator`` fitted; False for what is no estimator."""
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    try:
        check_is_fitted(estimator)
    except NotFittedError:  # older releases say so also of those that need no fit
        return tag(estimator, "requires_fit") is False or type(estimator).__name__ == "HashingVectorizer"
    except (TypeError, AttributeError):
        return False
    return True


def tag(estimator: Any, name: str) -> Any:
    """Return what an estimator's tags say of ``allow_nan`` or ``requires_fit``; None for what has no tags."""
    try:
        tags = _tags(estimator)
        if isinstance(tags, dict):
            return tags.get(name)
        return getattr(tags.input_tags if hasattr(tags.input_tags, name) else tags, name)
    except Exception:  # not an estimator by the book
        return None


def _tags(estimator: Any) -> Any:
    """Return all tags: a record, before scikit-learn 1.6 a dict."""
    try:
        from sklearn.utils import get_tags
    except ImportError:
        return estimator._get_tags()
    return get_tags(estimator)


def needs_frame(root: Any) -> bool:
    """Tell whether a part of an otherwise numeric model looks at column names.

    That is a ColumnTransformer, a function of the user's, a step that was told to answer in
    data frames, or a class from outside scikit-learn.
    """
    for part in parts(root):
        if not hasattr(part, "feature_names_in_"):
            continue
        config = getattr(part, "_sklearn_output_config", {})
        if config.get("transform", "default") != "default" or not of_sklearn(part):
            return True
        kind = type(part).__name__
        if kind == "ColumnTransformer" or (kind == "FunctionTransformer" and part.func is not None):
            return True
    return False


def forget_names(root: Any) -> None:
    """Drop fitted column names, so that a plain array is taken without a look-up or a warning."""
    for part in parts(root):
        vars(part).pop("feature_names_in_", None)
