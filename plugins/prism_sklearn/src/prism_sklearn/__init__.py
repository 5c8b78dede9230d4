"""Serve scikit-learn models: ``.pkl``, ``.joblib`` and ``.skops``.

This module is imported by the gateway too, so it knows bytes and records only; scikit-learn
is imported where a model is loaded, inside the replica.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec

import numpy as np

from prism_core.plugin import (
    Artifact,
    BaseModel,
    Batch,
    Candidate,
    Conversion,
    Finding,
    Loader,
    Optimizer,
    Requirement,
    hookimpl,
)
from prism_sklearn.content import recognises
from prism_sklearn.options import SklearnOptions

__all__ = ["SklearnOptions", "prism_inspect_artifact", "prism_loaders", "prism_optimizers"]

# What most models need at load; a zygote that has them imported starts a replica in milliseconds.
_WARM = (
    "sklearn",
    "joblib",
    "pandas",
    "prism_sklearn.loading",
    "prism_sklearn.rehearsal",
    "sklearn.compose",
    "sklearn.ensemble",
    "sklearn.feature_extraction.text",
    "sklearn.impute",
    "sklearn.linear_model",
    "sklearn.neighbors",
    "sklearn.neural_network",
    "sklearn.pipeline",
    "sklearn.preprocessing",
    "sklearn.svm",
)


TWIN = "sklearn-onnx"
# What the extra `optimize` installs; the versions stand in every report.
_PACKAGES = ("scikit-learn", "skl2onnx", "onnxruntime")

# As the plugin for ONNX does: no word to onnxruntime's vendor, and no thread for it, which
# would make forking unsafe. It must be said before the import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def _load_twin(artifact: Artifact, options: SklearnOptions) -> BaseModel:
    from prism_sklearn.twin.model import load

    return load(artifact, options)


def _convert(conversion: Conversion) -> Iterator[Candidate]:
    from prism_sklearn.twin.convert import convert

    yield from convert(conversion)


def _rows(model: BaseModel, generator: np.random.Generator) -> Iterator[Batch]:
    from prism_sklearn.twin.rows import trial_rows

    yield from trial_rows(model, generator)


def _why_not() -> str:
    for module in ("skl2onnx", "onnx", "onnxruntime"):
        if find_spec(module) is None:
            return f"{module} is not installed: pip install 'prism-sklearn[optimize]'"
    return ""


@hookimpl
def prism_optimizers() -> Iterator[Optimizer]:
    """Offer ONNX twins of scikit-learn models."""
    yield Optimizer(
        "onnx-twin",
        loader="sklearn",
        into=TWIN,
        convert=_convert,
        rows=_rows,
        packages=_PACKAGES,
        available=_why_not,
    )


def _load(artifact: Artifact, options: SklearnOptions) -> BaseModel:
    from prism_sklearn.loading import load

    return load(artifact, options)


def _rehearse() -> Iterator[BaseModel]:
    from prism_sklearn.rehearsal import rehearse

    return rehearse()


def _requirements(artifact: Artifact) -> Iterator[Requirement]:
    from prism_sklearn.made_with import requirements

    return requirements(artifact)


@hookimpl
def prism_loaders() -> Iterator[Loader]:
    """Offer the loader ``sklearn``, and one for what its models are converted into."""
    yield Loader(
        "sklearn",
        suffixes=(".pkl", ".pickle", ".joblib", ".skops"),
        recognises=recognises,
        load=_load,
        requires=_WARM,
        options=SklearnOptions,
        rehearse=_rehearse,
        requirements=_requirements,
    )
    yield Loader(
        TWIN,
        suffixes=(),
        recognises=lambda artifact: 0.0,  # made by --optimize, uploaded by nobody
        load=_load_twin,
        requires=("onnxruntime", "prism_sklearn.twin.warm"),
        options=SklearnOptions,
    )


@hookimpl
def prism_inspect_artifact(artifact: Artifact, loader: Loader, trust: tuple[str, ...]) -> Iterator[Finding]:
    """Look through a pickle or skops file, and block it if it would do what no model needs."""
    if loader.name == "sklearn":
        from prism_sklearn.audit import findings

        yield from findings(artifact, trust)
