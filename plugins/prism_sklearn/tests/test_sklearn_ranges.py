"""Plausible ranges come from what the fitted steps keep, and are never in the way."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from sklearn import ensemble, feature_selection, impute, naive_bayes, neighbors, preprocessing, svm, tree
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import make_column_transformer
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline, make_union

from prism_sklearn.ranges import ranges_of

# Three columns of training rows, each evenly spread between these.
LOW, HIGH = np.array([0.0, 10.0, -5.0]), np.array([1.0, 50.0, 5.0])
ALL = {0, 1, 2}


def kinds(estimator):
    steps = getattr(estimator, "steps", [("", estimator)])
    return "-".join(type(step).__name__ for _, step in steps)


@pytest.fixture(scope="module")
def rows():
    generator = np.random.default_rng(11)
    columns = [
        generator.permutation(np.linspace(low, high, 201)) for low, high in zip(LOW, HIGH, strict=True)
    ]
    return np.stack(columns, axis=1)


@pytest.fixture(scope="module")
def labels(rows):
    """Return labels that depend on every column."""
    return (rows[:, 0] * 40 + rows[:, 1] + rows[:, 2] * 4 > 45) ^ (rows[:, 2] > 3)


EXACT = [
    preprocessing.MinMaxScaler(),
    preprocessing.QuantileTransformer(n_quantiles=50),
    preprocessing.KBinsDiscretizer(4, quantile_method="linear"),
    preprocessing.SplineTransformer(),
    neighbors.KNeighborsClassifier(),
    make_pipeline(preprocessing.MinMaxScaler(), svm.SVC()),
    make_pipeline(impute.SimpleImputer(), preprocessing.MinMaxScaler(), LogisticRegression()),
    make_union(preprocessing.MinMaxScaler(), preprocessing.StandardScaler()),
    GridSearchCV(make_pipeline(preprocessing.MinMaxScaler(), LogisticRegression()), {}, cv=2),
    ensemble.VotingClassifier([("one", make_pipeline(preprocessing.MinMaxScaler(), LogisticRegression()))]),
    ensemble.BaggingClassifier(
        make_pipeline(preprocessing.MinMaxScaler(), LogisticRegression()),
        max_features=2, bootstrap=False, n_estimators=12, random_state=0,
    ),
]  # fmt: skip


@pytest.mark.parametrize("estimator", EXACT, ids=kinds)
def test_bounds_that_a_step_keeps_are_told(estimator, rows, labels):
    found = ranges_of(estimator.fit(rows, labels), 3)

    assert {place: pytest.approx((LOW[place], HIGH[place])) for place in ALL} == found


NEAR = [
    preprocessing.StandardScaler(),
    preprocessing.RobustScaler(),
    preprocessing.PowerTransformer(),
    naive_bayes.GaussianNB(),
    svm.SVC(),
    tree.DecisionTreeClassifier(),
    ensemble.RandomForestClassifier(20, random_state=0),
    ensemble.ExtraTreesClassifier(20, random_state=0),
    ensemble.GradientBoostingClassifier(n_estimators=20, random_state=0),
    ensemble.HistGradientBoostingClassifier(max_iter=5),
    ensemble.AdaBoostClassifier(tree.DecisionTreeClassifier(max_depth=3), n_estimators=20, random_state=0),
    ensemble.IsolationForest(n_estimators=20, max_features=2, random_state=0),
    make_pipeline(preprocessing.RobustScaler(with_centering=False), tree.DecisionTreeClassifier()),
    make_pipeline(
        preprocessing.FunctionTransformer(np.cbrt, lambda x: x**3, feature_names_out="one-to-one"),
        tree.DecisionTreeClassifier(),
    ),
    make_pipeline(impute.SimpleImputer(add_indicator=True), tree.DecisionTreeClassifier()),
]


@pytest.mark.parametrize("estimator", NEAR, ids=kinds)
def test_spreads_and_splits_are_about_where_the_rows_lay(estimator, rows, labels):
    found = ranges_of(estimator.fit(rows, labels), 3)

    assert found.keys() == ALL
    for place, (low, high) in found.items():
        width = HIGH[place] - LOW[place]
        assert LOW[place] - width < low < high < HIGH[place] + width
        assert high - low > width / 4


NOTHING = [
    LogisticRegression(),
    make_pipeline(impute.SimpleImputer(), LogisticRegression()),
    make_pipeline(preprocessing.Normalizer(), tree.DecisionTreeClassifier()),
    make_pipeline(preprocessing.FunctionTransformer(np.cbrt), tree.DecisionTreeClassifier()),
    make_pipeline(preprocessing.PolynomialFeatures(2), tree.DecisionTreeClassifier()),
    tree.DecisionTreeClassifier(max_depth=1),
]


@pytest.mark.parametrize("estimator", NOTHING, ids=kinds)
def test_where_nothing_tells_there_is_no_range(estimator, rows, labels, load):
    estimator.fit(rows, labels)

    assert all(low == high for low, high in ranges_of(estimator, 3).values())
    assert load(estimator).signature.inputs[0].ranges == ()


def test_columns_that_a_selector_drops_have_none(rows, labels):
    chosen = feature_selection.SelectKBest(k=1)
    estimator = make_pipeline(chosen, tree.DecisionTreeClassifier()).fit(rows, labels)

    assert set(ranges_of(estimator, 3)) == set(np.flatnonzero(chosen.get_support()))


def test_recursive_elimination_maps_the_columns_of_its_estimator(rows, labels):
    chosen = feature_selection.RFE(tree.DecisionTreeClassifier(), n_features_to_select=1).fit(rows, labels)

    assert set(ranges_of(chosen, 3)) == set(np.flatnonzero(chosen.support_))


def test_a_column_pipeline_tells_the_range_of_each_number_and_of_no_category(load, churn, customers):
    specs = {spec.name: spec for spec in load(churn).signature.inputs}
    mean, spread = customers["tenure"].mean(), 3 * customers["tenure"].std(ddof=0)

    assert specs["tenure"].range_of() == pytest.approx((mean - spread, mean + spread), abs=0.1)
    assert {name for name, spec in specs.items() if spec.ranges} == {"tenure", "charge"}


def test_thresholds_are_mapped_back_through_a_column_transformer(load, customers):
    columns = make_column_transformer(
        (preprocessing.OneHotEncoder(), ["plan"]),
        (preprocessing.RobustScaler(with_centering=False), ["tenure"]),
        ("passthrough", ["charge"]),
    )
    table = customers.fillna({"charge": 50.0})
    model = load(
        make_pipeline(columns, ensemble.RandomForestRegressor(9)).fit(
            table, table["tenure"] + table["charge"]
        )
    )
    found = {spec.name: spec.range_of() for spec in model.signature.inputs}

    assert found["plan"] is None
    for name in ("tenure", "charge"):
        low, high = found[name]
        assert table[name].min() <= low < high <= table[name].max()
        assert high - low > (table[name].max() - table[name].min()) / 2


def test_boosting_over_a_table_keeps_its_columns_apart(load, rows, labels):
    table = pd.DataFrame(rows, columns=["a", "b", "c"])
    table.insert(1, "kind", pd.Categorical(np.where(labels, "x", "y")))
    model = load(
        ensemble.HistGradientBoostingClassifier(categorical_features=["kind"], max_iter=3).fit(table, labels)
    )
    found = {spec.name: spec.range_of() for spec in model.signature.inputs}

    assert found["kind"] is None
    assert np.array([found[name] for name in "abc"]) == pytest.approx(np.stack([LOW, HIGH], axis=1), abs=0.5)


def test_isotonic_regression_tells_its_one_axis(load):
    model = load(IsotonicRegression(out_of_bounds="clip").fit([1.0, 2.0, 4.0], [0.0, 1.0, 2.0]))

    assert model.signature.inputs[0].ranges == ((1.0, 4.0),)


def test_columns_that_are_alike_are_told_once(load, rows, labels):
    ones = (rows - LOW) / (HIGH - LOW)
    model = load(make_pipeline(preprocessing.MinMaxScaler(), LogisticRegression()).fit(ones, labels))

    assert model.signature.inputs[0].ranges == ((0.0, 1.0),)


def test_gaps_in_kept_rows_are_passed_over(rows, labels):
    gaps = rows.copy()
    gaps[::7, 1] = np.nan
    found = ranges_of(make_pipeline(impute.KNNImputer(), LinearRegression()).fit(gaps, labels), 3)

    assert all(math.isfinite(value) for pair in found.values() for value in pair)
    assert found.keys() == ALL


class Moody(TransformerMixin, BaseEstimator):
    """A transformer of somebody else's, whose attributes are none of what they seem."""

    def fit(self, X, y=None):
        self.n_features_in_ = X.shape[1]
        self.support_vectors_ = self
        return self

    @property
    def support_(self):
        raise RuntimeError("no")

    def transform(self, X):
        return X


def test_a_step_that_breaks_the_walk_breaks_nothing_else(rows, labels):
    pipeline = make_pipeline(preprocessing.MinMaxScaler(), Moody(), LogisticRegression()).fit(rows, labels)

    assert ranges_of(pipeline, 3).keys() == ALL
    assert ranges_of(make_pipeline(Moody(), LogisticRegression()).fit(rows, labels), 3) == {}


def test_a_large_forest_is_told_from_some_of_its_trees(rows, labels):
    """What is looked at is bounded: however many rows and trees there are."""
    forest = ensemble.RandomForestClassifier(100, random_state=0).fit(rows, labels)
    some, whole = ranges_of(forest, 3), {}
    for one in forest.estimators_:
        inside = one.tree_.children_left >= 0
        for place, split in zip(one.tree_.feature[inside], one.tree_.threshold[inside], strict=True):
            low, high = whole.get(place, (split, split))
            whole[place] = (min(low, split), max(high, split))

    assert some.keys() == whole.keys()
    assert all(whole[p][0] <= low < high <= whole[p][1] for p, (low, high) in some.items())
