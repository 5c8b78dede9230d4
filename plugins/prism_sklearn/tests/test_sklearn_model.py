"""A served estimator answers what the estimator answers, whatever company a row is in."""

from __future__ import annotations

import copy
import threading

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.decomposition import NMF
from sklearn.ensemble import ExtraTreesRegressor, RandomForestClassifier
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, PowerTransformer, StandardScaler

from prism_core.plugin import Batch, InvalidInput
from prism_sklearn.model import SklearnModel
from prism_sklearn.options import SklearnOptions


def columns(table: pd.DataFrame, model) -> Batch:
    """Return the rows of a table as a request would bring them."""
    tensors = {}
    for spec in model.signature.inputs:
        values = table[spec.name].to_numpy(dtype=object)
        gap = None if spec.datatype == "BYTES" else np.nan
        tensors[spec.name] = np.array([gap if pd.isna(v) else v for v in values], dtype=spec.dtype)
    return Batch(tensors)


def ask(model, batch, *names):
    return model.predict(Batch(batch.tensors, names))


def test_a_column_pipeline_answers_as_itself(load, churn, customers):
    model = load(churn)
    answer = ask(model, columns(customers, model), "predictions", "probabilities")

    assert (answer["predictions"] == churn.predict(customers)).all()
    assert answer["predictions"].dtype == object
    assert np.allclose(answer["probabilities"], churn.predict_proba(customers), rtol=1e-12)


def test_unknown_categories_are_the_encoders_business(load, churn, customers):
    model = load(churn)
    ignored = columns(customers[:1].assign(plan="gratis"), model)
    refused = columns(customers[:1].assign(contract=7), model)

    assert model.predict(ignored)["predictions"] == churn.predict(customers[:1].assign(plan="gratis"))
    with pytest.raises(InvalidInput, match="unknown categories"):
        model.predict(refused)


def test_values_that_the_estimator_refuses_are_the_callers_fault(load, x):
    model = load(PowerTransformer("box-cox").fit(np.exp(x)))

    with pytest.raises(InvalidInput, match="strictly positive"):
        model.predict(Batch({"input": -np.ones((1, 3))}))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused_where_the_model_cannot_take_it(load, x, y, value):
    model = load(LogisticRegression().fit(x, y))

    with pytest.raises(InvalidInput, match="NaN or infinity"):
        model.predict(Batch({"input": np.array([[1.0, value, 0.0]])}))


def test_names_are_never_asked_for(load, x, y):
    """Warnings are errors here: one about feature names would fail this."""
    table = pd.DataFrame(x, columns=["a", "b", "c"])
    pipeline = RandomForestClassifier(5, random_state=0).fit(table, y)
    model = load(pipeline)

    assert model.warnings == ()
    assert (model.predict(Batch({"input": x}))["predictions"] == pipeline.predict(table)).all()


def test_sparse_answers_become_dense(load):
    model = load(OneHotEncoder().fit([[1], [2]]))

    assert model.predict(Batch({"input": np.array([[2.0]])}))["transformed"].tolist() == [[0, 1]]


def test_dicts_leave_out_what_is_missing(load):
    model = load(DictVectorizer().fit([{"city": "Oslo", "age": 3}, {"city": "Rome", "age": 5}]))
    rows = Batch({"city": np.array(["Rome", None], dtype=object), "age": np.array([np.nan, 4.0])})

    assert model.signature.columnar
    assert model.predict(rows)["transformed"].tolist() == [[0, 0, 1], [4, 0, 0]]


def test_what_iterates_over_all_rows_is_not_joined(load, x):
    assert not load(NMF(2, max_iter=500).fit(np.abs(x))).signature.batch_axis
    assert load(KMeans(2, n_init=1).fit(x)).signature.batch_axis


@pytest.mark.parametrize("kind", [RandomForestClassifier, ExtraTreesRegressor])
def test_a_forest_takes_the_short_way_and_answers_bit_for_bit(x, y, kind):
    target = y if kind is RandomForestClassifier else x.sum(axis=1)
    forest, same = (kind(20, random_state=0).fit(x, target) for _ in range(2))
    model = SklearnModel(forest, SklearnOptions())
    names = [name for name in ("predictions", "probabilities") if name in model._compute]
    answer = ask(model, Batch({"input": x}), *names)

    assert "predict_proba" in vars(forest) or "predict" in vars(forest)
    assert (answer["predictions"] == same.predict(x)).all()
    assert "probabilities" not in names or np.array_equal(answer["probabilities"], same.predict_proba(x))


def test_a_column_pipeline_takes_the_way_without_data_frames(load, churn):
    from prism_sklearn.plain import Branches

    assert isinstance(load(churn)._feed, Branches)


def test_workers_are_limited_everywhere(x, y):
    forest = RandomForestClassifier(3, n_jobs=2, random_state=0)
    pipeline = make_pipeline(StandardScaler(), forest).fit(x, y)
    SklearnModel(pipeline, SklearnOptions())
    assert forest.n_jobs == 1

    SklearnModel(pipeline, SklearnOptions(n_jobs=2))
    assert forest.n_jobs == 2


def test_settings_of_scikit_learn_reach_every_thread(load, x, y):
    import sklearn

    model = load(LogisticRegression().fit(x, y))
    seen = []

    def predict():
        model.predict(Batch({"input": x}))
        seen.append(sklearn.get_config()["assume_finite"])

    for _ in range(2):
        thread = threading.Thread(target=predict)
        thread.start()
        thread.join()
    assert seen == [True, True]


def test_the_example_is_one_row_that_works(load, churn, x, y):
    for model in (load(churn), load(LogisticRegression().fit(x, y))):
        example = model.example()

        assert example.rows == 1
        assert model.predict(example).rows == 1


@pytest.fixture(scope="module")
def company(x, y, customers, churn):
    """Return served models of several kinds, each with rows to ask about."""
    estimators = [
        LogisticRegression().fit(x, y),
        RandomForestClassifier(10, random_state=0).fit(x, y),
        KNeighborsRegressor().fit(x, x.sum(axis=1)),
        KMeans(3, n_init=1, random_state=0).fit(x),
    ]
    served = [(SklearnModel(one, SklearnOptions()), Batch({"input": x})) for one in estimators]
    model = SklearnModel(copy.deepcopy(churn), SklearnOptions())
    return [*served, (model, columns(customers, model))]


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_row_is_answered_alike_alone_and_in_company(company, data):
    model, batch = company[data.draw(st.integers(0, len(company) - 1))]
    chosen = data.draw(st.lists(st.integers(0, batch.rows - 1), min_size=1, max_size=20))
    name = data.draw(st.sampled_from([spec.name for spec in model.signature.outputs]))
    together = ask(model, Batch({k: v[chosen] for k, v in batch.tensors.items()}), name)[name]

    for place, row in enumerate(chosen):
        alone = ask(model, Batch({k: v[row : row + 1] for k, v in batch.tensors.items()}), name)[name]
        assert alone.dtype == together.dtype
        if alone.dtype.kind == "f":
            assert np.allclose(alone[0], together[place], rtol=1e-9)
        else:
            assert alone[0] == together[place]
