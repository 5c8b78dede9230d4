"""Directories as MLflow saves them; the files are as mlflow-skinny 3.17 writes them."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from prism_core.plugin import Artifact, ArtifactError, Batch, ModelLoadFailed
from prism_sklearn import SklearnOptions, prism_inspect_artifact, prism_loaders
from prism_sklearn.directories import file_of

LOADER = next(iter(prism_loaders()))
MLMODEL = """flavors:
  python_function:
    env:
      conda: conda.yaml
      virtualenv: python_env.yaml
    loader_module: mlflow.sklearn
    model_path: {file}
    predict_fn: predict
    python_version: 3.11.7
  sklearn:
    code: null
    pickled_model: {file}
    serialization_format: {form}
    sklearn_version: 1.9.1
mlflow_version: 3.17.2
"""


@pytest.fixture
def logged(tmp_path, x, y):
    """Return the directory of a model that MLflow saved."""

    def save(file: str = "model.pkl", form: str = "cloudpickle", write=None) -> Artifact:
        directory = tmp_path / "model"
        directory.mkdir(exist_ok=True)
        (directory / "MLmodel").write_text(MLMODEL.format(file=file, form=form))
        write = write or _writers[form]
        write(LogisticRegression().fit(x, y), directory / file)
        return Artifact(directory, "model")

    return save


def _pickled(model, path):
    path.write_bytes(pickle.dumps(model))


def _cloudpickled(model, path):
    import cloudpickle

    path.write_bytes(cloudpickle.dumps(model))


def _skops(model, path):
    from skops import io

    io.dump(model, path)


_writers = {"cloudpickle": _cloudpickled, "pickle": _pickled, "skops": _skops}


@pytest.mark.parametrize("form", ["cloudpickle", "pickle", "skops"])
def test_a_directory_is_served_as_the_file_in_it(logged, x, y, form):
    artifact = logged("model.skops" if form == "skops" else "model.pkl", form)

    assert LOADER.recognises(artifact) > 0.8
    assert list(prism_inspect_artifact(artifact, LOADER, ())) == []
    assert {one.name for one in LOADER.requirements(artifact)} >= {"scikit-learn", "numpy"}
    answer = LOADER.load(artifact, SklearnOptions()).predict(Batch({"input": np.asarray(x)}))
    assert answer["predictions"].tolist() == LogisticRegression().fit(x, y).predict(x).tolist()


def test_code_in_a_cloudpickle_is_refused(logged):
    import cloudpickle

    artifact = logged(write=lambda _, path: path.write_bytes(cloudpickle.dumps(lambda rows: rows)))

    (first, *_) = prism_inspect_artifact(artifact, LOADER, ())
    assert "cloudpickle" in first.message
    with pytest.raises(ArtifactError, match="cloudpickle"):
        LOADER.load(artifact, SklearnOptions())


@pytest.mark.parametrize(
    "file", ["../outside.pkl", "sub/model.pkl", "/etc/passwd", "..", "missing.pkl", "a b.pkl"]
)
def test_a_file_elsewhere_is_not_opened(logged, tmp_path, file):
    artifact = logged()
    (tmp_path / "outside.pkl").write_bytes(pickle.dumps(LogisticRegression()))
    (artifact.path / "MLmodel").write_text(MLMODEL.format(file=file, form="pickle"))

    assert file_of(artifact) == artifact
    assert LOADER.recognises(artifact) == 0
    assert list(LOADER.requirements(artifact)) == []


def test_a_link_out_of_the_directory_is_not_followed(logged, tmp_path):
    artifact = logged()
    (tmp_path / "outside.pkl").write_bytes(pickle.dumps(LogisticRegression()))
    (artifact.path / "model.pkl").unlink()
    (artifact.path / "model.pkl").symlink_to(tmp_path / "outside.pkl")

    assert file_of(artifact) == artifact


def test_other_directories_are_left_alone(tmp_path):
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(LogisticRegression()))

    assert LOADER.recognises(Artifact(tmp_path, "models")) == 0
    with pytest.raises(ModelLoadFailed):
        LOADER.load(Artifact(tmp_path, "models"), SklearnOptions())
