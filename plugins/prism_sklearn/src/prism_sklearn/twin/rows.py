"""Rows on which a twin would differ from its original, if it differed: from what the model was fitted on.

Ordinary rows lie where the fitted steps say that the training data lay. The others stand on
both sides of the trees' thresholds, as near as two numbers can be.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import attrs
import numpy as np

from prism_core.plugin import BaseModel, Batch, TensorSpec
from prism_sklearn.feeds import Table
from prism_sklearn.model import SklearnModel
from prism_sklearn.plain import Branches
from prism_sklearn.ranges import ranges_of
from prism_sklearn.twin.straddling import straddling
from prism_sklearn.walk import parts

ROWS = 1024
_WORDS = ("good", "bad", "the", "model", "Fast", "42", "a", "slow-ish", "naïve", "again")
# A share of numbers far outside of what was seen in training.
_FAR = 0.05

Array = np.ndarray[Any, Any]


def trial_rows(model: BaseModel, generator: np.random.Generator) -> Iterator[Batch]:
    """Yield ordinary rows first, then those that straddle thresholds."""
    assert isinstance(model, SklearnModel)
    rows = ordinary(model, generator, ROWS)
    if rows.rows:
        yield rows
        yield from straddling(model, rows, generator)


def ordinary(model: SklearnModel, generator: np.random.Generator, rows: int) -> Batch:
    """Return rows as the training data may have had them: at most ``rows``, and only what the model takes.

    A model that takes none may want no numbers below zero, or whole ones.
    """
    seen = Seen.by(model)
    drawn = {spec.name: _drawn(spec, seen, generator, rows) for spec in model.signature.inputs}
    batch = Batch(drawn)
    for change in (lambda values: values, np.abs, lambda values: np.floor(np.abs(values))):
        tensors = {n: change(v) if v.dtype.kind == "f" else v for n, v in drawn.items()}
        batch = taken(model, Batch(tensors))
        if batch.rows:
            break
    return batch


def taken(model: SklearnModel, batch: Batch) -> Batch:
    """Return those rows of ``batch`` that the model answers with all its outputs."""
    names = tuple(spec.name for spec in model.signature.outputs)

    def good(places: Array) -> list[Array]:
        tensors = {name: values[places] for name, values in batch.tensors.items()}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model.predict(Batch(tensors, names))
        except Exception:  # a row that fails with another error than a refusal is no use either
            half = len(places) // 2
            return [] if not half else good(places[:half]) + good(places[half:])
        return [places]

    kept = good(np.arange(batch.rows))
    chosen = np.concatenate(kept) if kept else np.arange(0)
    return Batch({name: values[chosen] for name, values in batch.tensors.items()})


@attrs.frozen
class Seen:
    """Where the training data lay, by column name: centre and spread; for a matrix by place.

    ``words`` are those of a vectorizer, ``categories`` those of an encoder's columns by place.
    """

    columns: dict[Any, tuple[float, float]]
    words: tuple[str, ...] = ()
    categories: tuple[tuple[Any, ...], ...] = ()

    @classmethod
    def by(cls, model: SklearnModel) -> Seen:
        """Read it from the fitted steps of ``model``."""
        feed = model.feed
        table = feed.table if isinstance(feed, Branches) else feed
        names: list[Any] = [c.name for c in table.columns] if isinstance(table, Table) else []
        width = len(names) or max(1, feed.specs[0].shape[-1])
        found = ranges_of(model.estimator, width)
        columns = {names[place] if names else place: _centre(*where) for place, where in found.items()}
        return cls(columns, _words(model.estimator), _categories(model.estimator))


def _centre(low: float, high: float) -> tuple[float, float]:
    return low / 2 + high / 2, (high - low) / 2 or max(1.0, abs(low))


def _drawn(spec: TensorSpec, seen: Seen, generator: np.random.Generator, rows: int) -> Array:
    shape = (rows, *(1 if size < 0 else size for size in spec.shape[1:]))
    if spec.categories:
        known = np.array([*spec.categories], dtype=spec.dtype)
        values = known[generator.integers(0, len(known), shape)]
    elif len(shape) == 2 and len(seen.categories) == shape[1]:
        chosen = [np.array(one, dtype=spec.dtype) for one in seen.categories]
        values = np.stack([one[generator.integers(0, len(one), rows)] for one in chosen], axis=1)
    elif spec.datatype == "BYTES":
        values = _texts(seen.words or _WORDS, generator, shape)
    elif spec.datatype == "BOOL":
        values = generator.random(shape) < 0.5
    else:
        values = _numbers(spec, seen, generator, shape).astype(spec.dtype)
    if spec.nullable:
        values[generator.random(shape) < 0.05] = None if spec.datatype == "BYTES" else np.nan
    return values


def _numbers(spec: TensorSpec, seen: Seen, generator: np.random.Generator, shape: tuple[int, ...]) -> Array:
    places = range(shape[1]) if len(shape) == 2 else (spec.name,)
    where = [seen.columns.get(place, (0.0, 1.0)) for place in places]
    centre, spread = (np.array(side).reshape(1, -1) for side in zip(*where, strict=True))
    near = generator.normal(size=(shape[0], len(where)))
    near *= np.where(generator.random(near.shape) < _FAR, 30.0, 1.0)
    values = centre + near * spread
    # Half of the columns of people's tables hold whole numbers or few decimals.
    decimals = generator.integers(0, 3, (shape[0], 1))
    rounded = np.round(values * 10.0**decimals) / 10.0**decimals
    chosen: Array = np.where(generator.random((shape[0], 1)) < 0.5, values, rounded)
    return chosen.reshape(shape)


def _texts(words: tuple[str, ...], generator: np.random.Generator, shape: tuple[int, ...]) -> Array:
    known = np.array([*words, *_WORDS[:3]], dtype=object)
    counts = generator.integers(1, 12, int(np.prod(shape)))
    made = [" ".join(generator.choice(known, count)) for count in counts]
    return np.array(made, dtype=object).reshape(shape)


def _words(estimator: Any) -> tuple[str, ...]:
    for part in parts(estimator):
        vocabulary = getattr(part, "vocabulary_", None)
        if isinstance(vocabulary, dict) and all(isinstance(word, str) for word in vocabulary):
            return tuple(list(vocabulary)[:2000])
    return ()


def _categories(estimator: Any) -> tuple[tuple[Any, ...], ...]:
    found = getattr(estimator, "categories_", None)
    if not isinstance(found, list) or not all(len(one) for one in found):
        return ()
    return tuple(tuple(np.asarray(one).tolist()) for one in found)
