"""Linear models by their formula answer what scikit-learn answers; what is not proven goes its way."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from sklearn import config_context, linear_model, svm
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import make_classification, make_regression
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from prism_sklearn.forests import shorten_forests
from prism_sklearn.linear import shorten_linear

CLASSIFIERS = [
    linear_model.LogisticRegression(),
    linear_model.SGDClassifier(random_state=0),
    linear_model.Perceptron(random_state=0),
    svm.LinearSVC(random_state=0),
]
REGRESSORS = [
    linear_model.LinearRegression(),
    linear_model.Ridge(),
    linear_model.Lasso(),
    linear_model.ElasticNet(),
]


def is_short(part, method="predict"):
    return method in vars(part)


def both(estimator):
    """Return a fitted estimator and its shortened copy."""
    short = copy.deepcopy(estimator)
    shorten_linear(short)
    return estimator, short


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("estimator", CLASSIFIERS, ids=lambda e: type(e).__name__)
def test_labels_and_scores_are_bit_equal(estimator, classes):
    x, y = make_classification(60, 8, n_informative=6, n_classes=classes, random_state=1)
    long, short = both(estimator.fit(x, np.array(["a", "b", "c"], dtype=object)[y]))

    assert is_short(short)
    for rows in (x, x[:1]):
        assert np.array_equal(long.predict(rows), short.predict(rows))
        assert np.array_equal(long.decision_function(rows), short.decision_function(rows))


@pytest.mark.parametrize(
    ("estimator", "targets"),
    [(one, targets) for one in REGRESSORS for targets in (1, 2)] + [(svm.LinearSVR(random_state=0), 1)],
    ids=lambda one: type(one).__name__ if hasattr(one, "fit") else str(one),
)
def test_values_are_bit_equal(estimator, targets):
    x, y = make_regression(60, 8, n_targets=targets, random_state=1)
    long, short = both(estimator.fit(x, y))

    assert is_short(short)
    assert np.array_equal(long.predict(x), short.predict(x))


@pytest.mark.parametrize("options", [{}, {"with_mean": False}, {"with_std": False}])
def test_a_scaler_inside_a_pipeline_is_bit_equal(options):
    x, y = make_regression(60, 8, random_state=1)
    long, short = both(make_pipeline(StandardScaler(**options), linear_model.Ridge()).fit(x, y))

    assert is_short(short[0], "transform")
    assert np.array_equal(long.predict(x), short.predict(x))


def test_the_input_is_left_alone():
    x, _ = make_regression(60, 8, random_state=1)
    _, short = both(StandardScaler().fit(x))
    before = x.copy()
    short.transform(x)

    assert np.array_equal(x, before)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_refused_as_before(value):
    x, y = make_classification(60, 8, random_state=1)
    _, short = both(linear_model.LogisticRegression().fit(x, y))
    rows = x[:2].copy()
    rows[1, 3] = value

    # Behind a feed of its own check a model turns scikit-learn's off, for the whole thread.
    with config_context(assume_finite=False), pytest.raises(ValueError, match=r"NaN|infinity"):
        short.predict(rows)


def test_missing_values_pass_a_scaler_as_before():
    x, _ = make_classification(60, 8, random_state=1)
    long, short = both(StandardScaler().fit(x))
    rows = x[:2].copy()
    rows[1, 3] = np.nan

    assert np.array_equal(long.transform(rows), short.transform(rows), equal_nan=True)


@pytest.mark.parametrize("rows", [[[0.5] * 8], np.zeros((1, 8), np.float32), np.zeros((1, 8), object)])
def test_other_types_go_the_long_way(rows):
    x, y = make_regression(60, 8, random_state=1)
    long, short = both(linear_model.LinearRegression().fit(x, y))

    assert np.array_equal(long.predict(rows), short.predict(rows))


class Clipped(linear_model.LinearRegression):
    """Somebody's own."""

    def predict(self, X):
        return super().predict(X).clip(0)


def unproven():
    x, y = make_classification(60, 8, n_informative=6, n_classes=3, random_state=1)
    frames = StandardScaler().set_output(transform="pandas").fit(x)
    return [
        (Clipped().fit(x, y), "predict"),
        (linear_model.RidgeClassifier().fit(x, y), "predict"),
        (linear_model.PoissonRegressor().fit(x, y), "predict"),
        (linear_model.BayesianRidge().fit(x, y), "predict"),
        (frames, "transform"),
        (linear_model.SGDClassifier(), "predict"),  # not fitted
    ]


@pytest.mark.parametrize(("part", "method"), unproven(), ids=lambda one: type(one).__name__)
def test_what_has_insides_of_its_own_keeps_its_way(part, method):
    shorten_linear(part)

    assert not is_short(part, method)


@pytest.mark.parametrize(
    "inner",
    [linear_model.SGDClassifier(random_state=0), RandomForestClassifier(5, random_state=0)],
    ids=lambda one: type(one).__name__,
)
def test_whoever_asks_a_method_for_its_name_learns_it(inner):
    """A calibrated classifier does, of what it calibrates."""
    x, y = make_classification(60, 8, random_state=1)
    long, short = both(CalibratedClassifierCV(inner, cv=2).fit(x, y))
    shorten_forests(short)

    assert np.array_equal(long.predict_proba(x), short.predict_proba(x))


def test_options_of_a_method_go_the_long_way():
    x, _ = make_classification(60, 8, random_state=1)
    _, short = both(StandardScaler().fit(x))
    inside = x.copy()

    assert short.transform(inside, copy=False) is inside
