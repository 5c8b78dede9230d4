"""Serve scikit-learn models: ``.pkl``, ``.joblib`` and ``.skops``.

This module is imported by the gateway too, so it knows bytes and records only; scikit-learn
is imported where a model is loaded, inside the replica.
"""

from __future__ import annotations

from collections.abc import Iterator

from prism_core.plugin import Artifact, BaseModel, Finding, Loader, Severity, hookimpl
from prism_sklearn.content import is_skops, recognises
from prism_sklearn.options import SklearnOptions

__all__ = ["SklearnOptions", "prism_inspect_artifact", "prism_loaders"]

# What most models need at load; a zygote that has them imported starts a replica in milliseconds.
_WARM = (
    "sklearn",
    "joblib",
    "pandas",
    "prism_sklearn.loading",
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


def _load(artifact: Artifact, options: SklearnOptions) -> BaseModel:
    from prism_sklearn.loading import load

    return load(artifact, options)


@hookimpl
def prism_loaders() -> Iterator[Loader]:
    """Offer the loader ``sklearn``."""
    yield Loader(
        "sklearn",
        suffixes=(".pkl", ".pickle", ".joblib", ".skops"),
        recognises=recognises,
        load=_load,
        requires=_WARM,
        options=SklearnOptions,
    )


@hookimpl
def prism_inspect_artifact(artifact: Artifact, loader: Loader) -> Iterator[Finding]:
    """Say of a pickle that it runs code, and where."""
    if loader.name == "sklearn" and not is_skops(artifact):
        yield Finding(
            Severity.INFO,
            f"{artifact.name} is a pickle: loading it runs whatever code its author put in.",
            hint="It is loaded in the model's own isolated process only. Upload files that you trust, or "
            "save with skops.io.dump(model, 'model.skops'), which lists its types before it loads.",
        )
