"""What cannot be served is refused with the reason and the next step."""

from __future__ import annotations

import gzip
import pickle
import sys
import types

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import DBSCAN
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.manifold import TSNE
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MultiLabelBinarizer

from prism_core.plugin import Artifact, Batch, ModelLoadFailed, UnsafeArtifact
from prism_sklearn import SklearnOptions, prism_loaders

LOADER = next(iter(prism_loaders()))


@pytest.fixture
def line(x):
    return LinearRegression().fit(x, x.sum(axis=1))


def refusal(artifact, **options):
    with pytest.raises(ModelLoadFailed) as raised:
        LOADER.load(artifact, SklearnOptions(**options))
    assert raised.value.hint
    return raised.value.message


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_pickle_protocol_loads(save, line, x, protocol):
    model = LOADER.load(save(pickle.dumps(line, protocol)), SklearnOptions())

    assert np.array_equal(model.predict(Batch({"input": x}))["predictions"], line.predict(x))


@pytest.mark.parametrize(
    "compress", [0, *((kind, 3) for kind in ("zlib", "gzip", "bz2", "lzma", "xz", "lz4"))]
)
def test_every_joblib_compression_loads(tmp_path, line, x, compress):
    joblib.dump(line, tmp_path / "m.joblib", compress=compress)
    model = LOADER.load(Artifact(tmp_path / "m.joblib", "m.joblib"), SklearnOptions())

    assert np.array_equal(model.predict(Batch({"input": x}))["predictions"], line.predict(x))


def test_a_compressed_plain_pickle_loads(save, line):
    assert LOADER.load(save(gzip.compress(pickle.dumps(line))), SklearnOptions()).signature.inputs


def test_skops_loads_with_scikit_learns_own_types(tmp_path, x, y):
    import skops.io

    forest = RandomForestClassifier(5, random_state=0).fit(x, y)
    skops.io.dump(forest, tmp_path / "m.skops")
    model = LOADER.load(Artifact(tmp_path / "m.skops", "m.skops"), SklearnOptions())

    assert (model.predict(Batch({"input": x}))["predictions"] == forest.predict(x)).all()


def test_skops_with_foreign_types_is_refused_until_they_are_trusted(tmp_path, x):
    import skops.io

    skops.io.dump(FunctionTransformer(np.cbrt).fit(x), tmp_path / "harmless.skops")
    skops.io.dump(FunctionTransformer(types.FunctionType).fit(x), tmp_path / "odd.skops")

    assert LOADER.load(Artifact(tmp_path / "harmless.skops", "m.skops"), SklearnOptions()).signature.outputs
    with pytest.raises(UnsafeArtifact, match=r"no scikit-learn model needs: builtins\.function"):
        LOADER.load(Artifact(tmp_path / "odd.skops", "m.skops"), SklearnOptions())


def test_another_version_of_scikit_learn_is_a_warning(save, line):
    import sklearn

    raw = pickle.dumps(line).replace(sklearn.__version__.encode(), b"1.0.2")
    (warning,) = LOADER.load(save(raw), SklearnOptions()).warnings

    assert "trained with scikit-learn 1.0.2" in warning
    assert sklearn.__version__ in warning


def test_the_same_version_is_no_warning(load, line):
    assert load(line).warnings == ()


def test_a_missing_module_is_named(save, monkeypatch):
    module = types.ModuleType("their_features")
    module.Scaler = type("Scaler", (LinearRegression,), {"__module__": "their_features"})
    monkeypatch.setitem(sys.modules, "their_features", module)
    artifact = save(module.Scaler())
    monkeypatch.delitem(sys.modules, "their_features")

    with pytest.raises(UnsafeArtifact) as raised:
        LOADER.load(artifact, SklearnOptions())
    assert "--trust their_features:Scaler" in raised.value.hint
    assert "'their_features'" in refusal(artifact, trust=("their_features:Scaler",))


def test_a_class_from_a_notebook_is_named(save, monkeypatch):
    kind = type("Mine", (LinearRegression,), {"__module__": "__main__"})
    monkeypatch.setattr(sys.modules["__main__"], "Mine", kind, raising=False)
    artifact = save(kind())
    monkeypatch.delattr(sys.modules["__main__"], "Mine")

    with pytest.raises(UnsafeArtifact, match=r"__main__\.Mine") as raised:
        LOADER.load(artifact, SklearnOptions())
    assert "script or notebook" in raised.value.hint
    assert "'Mine' from a script or notebook" in refusal(artifact, trust=("__main__:Mine",))


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ([1, 2], "a list of 2 values"),
        (np.zeros(3), "numpy.ndarray"),
        (pd.DataFrame({"a": [1]}), "DataFrame"),
        (LinearRegression, "the class LinearRegression"),
        (LogisticRegression(), "has not been fitted"),
        (np.mean, "not a model"),
    ],
)
def test_what_is_no_fitted_estimator_is_named(save, value, named):
    assert named in refusal(save(value))


def test_a_model_inside_a_dict_is_pointed_at(save, line):
    with pytest.raises(ModelLoadFailed, match="keys 'model', 'columns'") as raised:
        LOADER.load(save({"model": line, "columns": ["a"]}), SklearnOptions())

    assert "it['model']" in raised.value.hint


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"", "is empty"),
        (b"<!doctype html><html>", "is no pickle"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
    ],
)
def test_what_is_no_pickle_is_named(save, data, named):
    assert named in refusal(save(data))


def test_a_truncated_file_is_told_from_a_wrong_one(save, line, tmp_path):
    joblib.dump(line, tmp_path / "whole.joblib", compress=("zlib", 3))
    whole = (tmp_path / "whole.joblib").read_bytes()

    assert "cannot be loaded" in refusal(save(pickle.dumps(line)[:-40]))
    assert "cannot be loaded" in refusal(save(whole[: len(whole) // 2], "m.joblib"))


@pytest.mark.parametrize("kind", [DBSCAN, TSNE])
def test_an_estimator_without_answers_for_new_rows_says_what_to_serve_instead(save, kind, x):
    arguments = {"perplexity": 5, "init": "random"} if kind is TSNE else {}

    assert "was fitted on" in refusal(save(kind(**arguments).fit(x)))


def test_rows_of_no_fixed_shape_are_refused(save):
    assert "cannot be served" in refusal(save(MultiLabelBinarizer().fit([["a"], ["b", "c"]])))


def test_a_vectorizer_that_opens_files_is_refused(save, tmp_path):
    (tmp_path / "text").write_text("some words")
    vectorizer = CountVectorizer(input="filename").fit([str(tmp_path / "text")])

    assert "reads files by their names" in refusal(save(vectorizer))


def test_such_a_vectorizer_is_found_behind_other_steps(save, tmp_path):
    """As a name of a file is a text like any other, a step before it hides nothing."""
    (tmp_path / "text").write_text("some words")
    vectorizer = CountVectorizer(input="filename")
    pipeline = make_pipeline(FunctionTransformer(), vectorizer).fit([str(tmp_path / "text")])

    assert "reads files by their names" in refusal(save(pipeline))


@pytest.mark.parametrize("datatypes", [{"x9": "FP64"}, {"x0": "TEXT"}])
def test_an_option_that_names_no_column_or_datatype_is_refused(save, line, datatypes):
    assert "the columns are x0, x1, x2" in refusal(save(line), datatypes=datatypes)


def test_an_option_that_names_no_output_is_refused(save, line):
    assert "'probabilities'" in refusal(save(line), outputs="probabilities")
