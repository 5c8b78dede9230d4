"""The signature is read from the fitted estimator."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, VotingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import Pipeline, make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler

from prism_core.plugin import Batch


def inputs(model):
    return {spec.name: spec for spec in model.signature.inputs}


def outputs(model):
    return {spec.name: spec for spec in model.signature.outputs}


def test_a_numeric_model_takes_one_matrix(load, x, y):
    model = load(LogisticRegression().fit(x, y))
    (spec,) = model.signature.inputs

    assert (spec.name, spec.datatype, spec.shape, spec.nullable) == ("input", "FP64", (-1, 3), False)
    assert model.signature.classes == ("bronze", "gold", "silver")
    assert outputs(model)["probabilities"].columns == ("bronze", "gold", "silver")
    assert model.signature.computed == ("predictions",)


def test_a_numeric_model_fitted_on_a_table_keeps_its_column_names(load, x, y):
    table = pd.DataFrame(x, columns=["a", "b", "c"])
    model = load(LogisticRegression().fit(table, y))

    assert model.signature.inputs[0].columns == ("a", "b", "c")
    assert not model.signature.columnar


def test_a_column_pipeline_tells_every_column(load, churn):
    model = load(churn)
    found = {name: (s.datatype, s.nullable, s.categories) for name, s in inputs(model).items()}

    assert model.signature.columnar
    assert found == {
        "tenure": ("FP64", True, ()),
        "charge": ("FP64", True, ()),
        "plan": ("BYTES", False, ("basic", "plus", "pro")),
        "region": ("BYTES", True, ("north", "south")),
        "contract": ("INT64", False, (1, 12, 24)),
        "active": ("BOOL", False, (False, True)),
    }


@pytest.mark.parametrize(
    "wrap",
    [
        lambda churn: GridSearchCV(churn, {"model__C": [1.0]}, cv=2),
        lambda churn: VotingClassifier([("one", churn), ("two", churn)]),
    ],
    ids=["search", "vote"],
)
def test_meta_estimators_hide_nothing(load, churn, customers, wrap):
    labels = np.where(customers["tenure"] < 20, "leaves", "stays")

    assert inputs(load(wrap(churn).fit(customers, labels))) == inputs(load(churn))


def test_passed_through_columns_are_taken_and_dropped_ones_are_not(load, customers):
    columns = make_column_transformer(
        (OneHotEncoder(), ["plan"]), ("passthrough", ["tenure"]), ("drop", ["region"]), remainder="drop"
    )
    model = load(make_pipeline(columns, LinearRegression()).fit(customers, customers["tenure"]))

    assert list(inputs(model)) == ["tenure", "plan"]


def test_a_gap_that_no_step_accepts_is_not_nullable(load, customers):
    columns = make_column_transformer((StandardScaler(), ["tenure"]), remainder="drop")

    assert not inputs(load(make_pipeline(columns, LinearRegression()).fit(customers, customers["tenure"])))[
        "tenure"
    ].nullable
    assert inputs(
        load(
            make_pipeline(columns, HistGradientBoostingClassifier(max_iter=2)).fit(
                customers, customers["active"]
            )
        )
    )["tenure"].nullable


def test_an_integer_column_behind_an_imputer_takes_gaps(load, customers):
    branch = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder())
    columns = ColumnTransformer([("codes", branch, ["contract"])])
    spec = inputs(load(make_pipeline(columns, LinearRegression()).fit(customers, customers["tenure"])))[
        "contract"
    ]

    assert (spec.datatype, spec.nullable) == ("FP64", True)


def test_gradient_boosting_over_a_table_with_categories(load, customers):
    table = customers[["tenure", "plan", "region"]].astype({"plan": "category", "region": "category"})
    boosting = HistGradientBoostingClassifier(max_iter=3).fit(table, customers["active"])
    model = load(boosting)
    rows = Batch(
        {
            "tenure": np.array([5.0, np.nan]),
            "plan": np.array(["pro", "basic"], dtype=object),
            "region": np.array(["north", None], dtype=object),
        }
    )
    direct = pd.DataFrame(rows.tensors).astype({"plan": table["plan"].dtype, "region": table["region"].dtype})

    assert inputs(model)["plan"].categories == ("basic", "plus", "pro")
    assert all(spec.nullable for spec in model.signature.inputs)
    assert (model.predict(rows)["predictions"] == boosting.predict(direct)).all()


@pytest.mark.parametrize(
    "vectorizer", [TfidfVectorizer(), make_union(TfidfVectorizer(), TfidfVectorizer(analyzer="char"))]
)
def test_a_text_pipeline_takes_texts(load, vectorizer):
    texts = ["good and cheap", "bad and slow", "good", "bad"]
    model = load(make_pipeline(vectorizer, LogisticRegression()).fit(texts, [1, 0, 1, 0]))
    (spec,) = model.signature.inputs

    assert (spec.name, spec.datatype, spec.shape) == ("text", "BYTES", (-1,))
    assert model.predict(Batch({"text": np.array(["good"], dtype=object)}))["predictions"].tolist() == [1]


def test_a_text_column_beside_numbers(load, customers):
    columns = ColumnTransformer([("plan", TfidfVectorizer(), "plan"), ("n", "passthrough", ["tenure"])])
    model = load(make_pipeline(columns, LinearRegression()).fit(customers, customers["tenure"]))

    assert inputs(model)["plan"].datatype == "BYTES"


def test_categories_without_names_come_as_a_text_matrix(load):
    rows = np.array([["red", "s"], ["blue", "m"]], dtype=object)
    model = load(OrdinalEncoder().fit(rows))

    assert (model.signature.inputs[0].datatype, model.signature.inputs[0].shape) == ("BYTES", (-1, 2))
    assert model.predict(Batch({"input": rows}))["transformed"].tolist() == [[1, 1], [0, 0]]


def test_mixed_columns_without_names_are_numbered(load):
    rows = np.array([["red", 1], ["blue", 2], ["red", 3]], dtype=object)
    columns = make_column_transformer((OneHotEncoder(), [0]), (StandardScaler(), [1]))
    model = load(make_pipeline(columns, LinearRegression()).fit(rows, [1, 2, 3]))

    assert {n: s.datatype for n, s in inputs(model).items()} == {"x0": "BYTES", "x1": "FP64"}
    answer = model.predict(Batch({"x0": np.array(["red"], dtype=object), "x1": np.array([1.0])}))
    assert answer["predictions"].shape == (1,)


def lengths(table):
    """Return how long the texts of a table are."""
    return pd.DataFrame(table).apply(lambda column: column.str.len()).to_numpy(dtype=float)


def test_a_trial_decides_what_a_function_takes(load, customers):
    columns = make_column_transformer((FunctionTransformer(lengths), ["plan"]), ("passthrough", ["tenure"]))
    pipeline = make_pipeline(columns, LinearRegression()).fit(customers, customers["tenure"])
    model = load(pipeline, datatypes={"tenure": "FP64"}, trust=(f"{__name__}:lengths",))

    assert {n: s.datatype for n, s in inputs(model).items()} == {"plan": "BYTES", "tenure": "FP64"}


def test_targets_with_equal_classes_are_stacked(load, x):
    targets = np.stack([np.arange(60) % 2, np.arange(60) // 2 % 2], axis=1)
    model = load(MultiOutputClassifier(LogisticRegression()).fit(x, targets))

    assert outputs(model)["predictions"].shape == (-1, 2)
    assert outputs(model)["probabilities"].shape == (-1, 2, 2)


def test_targets_with_other_classes_answer_apart(load, x, y):
    targets = np.stack([y, np.where(y == "gold", "yes", "no")], axis=1)
    forest = RandomForestClassifier(5, random_state=0).fit(x, targets)
    model = load(forest)
    answer = model.predict(Batch({"input": x}, ("predictions", "probabilities_1")))

    assert outputs(model)["probabilities_0"].columns == ("bronze", "gold", "silver")
    assert (answer["predictions"] == forest.predict(x)).all()
    assert np.allclose(answer["probabilities_1"], forest.predict_proba(x)[1])


def test_a_duck_is_taken_at_its_word(load):
    model = load(Duck(), trust=(f"{__name__}:Duck",))

    assert model.signature.inputs[0].shape == (-1, -1)
    assert model.predict(Batch({"input": np.ones((2, 5))}))["predictions"].tolist() == [5, 5]


class Duck:
    """Predicts and is no estimator."""

    def predict(self, rows):
        return rows.sum(axis=1)


def test_default_outputs_are_an_option(load, x, y):
    model = load(LogisticRegression().fit(x, y), outputs="predictions, probabilities")

    assert model.signature.computed == ("predictions", "probabilities")


def test_a_pipeline_that_answers_in_tables(load, x, y):
    table = pd.DataFrame(x, columns=["a", "b", "c"])
    pipeline = Pipeline([("scale", StandardScaler()), ("model", LogisticRegression())]).set_output(
        transform="pandas"
    )
    model = load(pipeline.fit(table, y))

    assert (model.predict(Batch({"input": x}))["predictions"] == pipeline.predict(table)).all()
