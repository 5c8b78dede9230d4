"""A scikit-learn estimator as a model of PRISM."""

from __future__ import annotations

import threading
from typing import Any

from prism_core.plugin import BaseModel, Batch, InvalidInput, ModelLoadFailed, Signature
from prism_sklearn.feeds import Feed, Matrix, Table
from prism_sklearn.forests import shorten_forests
from prism_sklearn.linear import shorten_linear
from prism_sklearn.options import SklearnOptions
from prism_sklearn.outputs import Answers, answers_of
from prism_sklearn.plain import without_frames
from prism_sklearn.reading import feeds_of
from prism_sklearn.walk import forget_names, parts, set_n_jobs

# Their transform iterates until the whole input converges, so a row's answer depends on its
# neighbours: requests must not be joined.
_NOT_ROW_BY_ROW = {"NMF", "MiniBatchNMF"}


class SklearnModel(BaseModel):
    """Answers batches with a fitted estimator.

    Parameters
    ----------
    estimator
        Fitted. It is changed: workers are limited, and column names dropped where nothing reads them.
    options
        The owner's.
    told
        What the owner should know.

    Attributes
    ----------
    behind
        The estimator that gets what the feed gathers: the rest of a pipeline, or the whole.

    Raises
    ------
    ModelLoadFailed
        If the estimator cannot answer requests.
    """

    def __init__(self, estimator: Any, options: SklearnOptions, told: tuple[str, ...] = ()) -> None:
        self.estimator = estimator
        self.warnings = told
        set_n_jobs(estimator, options.n_jobs)
        shorten_forests(estimator)
        shorten_linear(estimator)
        self._thread = threading.local()
        self._feed, self.behind, answers = _settle(estimator, options)
        self._number = answers.number
        # Without its own check of finiteness a feed needs scikit-learn's.
        self._assume_finite = isinstance(self._feed, Matrix)
        self._compute = {output.spec.name: output.compute for output in answers.outputs}
        self.signature = _signature(estimator, self._feed, answers, options)
        self._default = self.signature.computed

    def predict(self, inputs: Batch) -> Batch:
        """Compute the asked-for outputs.

        Raises
        ------
        InvalidInput
            With the estimator's own words, if it refuses the values.
        """
        if not hasattr(self._thread, "ready"):
            self._prepare_thread()
        compute = self._compute
        try:
            rows = self._feed.gather(inputs.tensors)
            return Batch({name: compute[name](rows) for name in inputs.outputs or self._default})
        except ValueError as error:
            # scikit-learn's word for values that it does not take: unknown categories, negative counts ...
            raise InvalidInput(
                f"{type(self.estimator).__name__} does not take these values: {_short(error)}",
                hint="Compare the values with those that the model was fitted on.",
            ) from error

    @property
    def feed(self) -> Feed:
        """How requests become what the estimator takes."""
        return self._feed

    def example(self) -> Batch:
        """Return the row that the outputs were tried on."""
        return Batch(self._feed.example(1, self._number))

    def _prepare_thread(self) -> None:
        """Turn off what a server has checked already; scikit-learn keeps its settings by thread."""
        import sklearn

        wanted = {"assume_finite": self._assume_finite, "skip_parameter_validation": True}
        # The second since scikit-learn 1.3; one that is not known there is refused.
        sklearn.set_config(**{name: wanted[name] for name in wanted if name in sklearn.get_config()})
        self._thread.ready = True


def _settle(estimator: Any, options: SklearnOptions) -> tuple[Feed, Any, Answers]:
    """Return the first feed on which the estimator works, what stands behind it, and what that answers."""
    settled: tuple[Feed, Any, Answers] | None = None
    for feed in feeds_of(estimator, options.datatypes):
        if isinstance(feed, Matrix) and feed.names and not feed.frame:
            forget_names(estimator)
        shorter = without_frames(estimator, feed) if isinstance(feed, Table) else None
        behind, chosen = shorter or (estimator, feed)
        found = (chosen, behind, answers_of(behind, chosen))
        if found[2].tried:
            return found
        settled = settled or found
    assert settled is not None
    return settled


def _signature(estimator: Any, feed: Feed, answers: Answers, options: SklearnOptions) -> Signature:
    specs = tuple(output.spec for output in answers.outputs)
    names = [spec.name for spec in specs]
    default = tuple(name.strip() for name in options.outputs.split(",") if name.strip()) or (names[0],)
    unknown = [name for name in default if name not in names]
    if unknown:
        raise ModelLoadFailed(
            f"The option outputs names {unknown[0]!r}; this model answers {', '.join(names)}.",
            hint="Choose among those, or leave the option out.",
        )
    return Signature(
        feed.specs,
        specs,
        default_outputs=default,
        columnar=feed.columnar,
        batch_axis=not _depends_on_neighbours(estimator),
        classes=answers.classes,
        primary=names[0],
        deterministic=not any(_draws(part) for part in parts(estimator)),
    )


def _draws(part: Any) -> bool:
    """Tell whether an estimator draws random numbers to answer."""
    kind = type(part).__name__
    return (kind == "DummyClassifier" and part.strategy in ("stratified", "uniform")) or (
        kind == "IterativeImputer" and part.sample_posterior
    )


def _depends_on_neighbours(estimator: Any) -> bool:
    return any(type(part).__name__ in _NOT_ROW_BY_ROW for part in parts(estimator))


def _short(error: Exception, length: int = 500) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= length else text[: length - 3] + "..."
