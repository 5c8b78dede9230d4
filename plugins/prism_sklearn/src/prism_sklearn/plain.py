"""Column pipelines without data frames.

A ColumnTransformer spends 2 ms a call on picking columns out of a data frame, whatever the
rows. `Branches` hands each of its transformers an array of its own columns instead. It is
taken only where both ways give the same numbers on trial rows.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np

from prism_core.plugin import TensorSpec
from prism_sklearn.columns import VECTORIZERS, Column
from prism_sklearn.feeds import Table, Tensors
from prism_sklearn.walk import forget_names, of_sklearn, parts


@attrs.frozen
class Branch:
    """One transformer of a ColumnTransformer: its columns and how they are put together.

    ``dtype`` is that of the array it gets, None for the one text column of a vectorizer.
    """

    transform: Callable[[Any], Any]
    columns: tuple[Column, ...]
    dtype: Any


@attrs.frozen
class Branches:
    """The feed of what follows a ColumnTransformer: gathers its output without a data frame."""

    table: Table
    branches: tuple[Branch, ...]
    sparse: bool
    columnar: bool = attrs.field(default=True, init=False)

    @property
    def specs(self) -> tuple[TensorSpec, ...]:
        """The inputs that it wants."""
        return self.table.specs

    def example(self, rows: int, number: float) -> dict[str, Any]:
        """Return ``rows`` plausible rows, with ``number`` wherever any would do."""
        return self.table.example(rows, number)

    def gather(self, tensors: Tensors) -> Any:
        """Return what the estimator takes."""
        blocks = [branch.transform(self._array(branch, tensors)) for branch in self.branches]
        if self.sparse:
            from scipy import sparse

            return sparse.hstack(blocks).tocsr()
        return np.hstack([block.toarray() if hasattr(block, "toarray") else block for block in blocks])

    def _array(self, branch: Branch, tensors: Tensors) -> Any:
        arrays = [self.table.array(c, tensors[c.name].reshape(-1)) for c in branch.columns]
        if branch.dtype is None:
            return arrays[0]
        block = np.empty((len(arrays[0]), len(arrays)), dtype=branch.dtype)
        for place, values in enumerate(arrays):
            block[:, place] = values
        return block


def without_frames(estimator: Any, table: Table) -> tuple[Any, Branches] | None:
    """Split a pipeline behind its ColumnTransformer.

    Returns
    -------
    tuple or None
        The rest of the pipeline and its feed; None where the shape is another one, where a
        transformer might look at the frame, or where trial rows come out differently.
    """
    pipeline = getattr(estimator, "best_estimator_", estimator)
    steps = getattr(pipeline, "steps", None)
    if not table.frame or not isinstance(steps, list) or len(steps) < 2 or not of_sklearn(pipeline):
        return None
    picker = steps[0][1]
    if type(picker).__name__ != "ColumnTransformer" or picker.transformer_weights or _tells_names(pipeline):
        return None
    branches = Branches(table, _branches(picker, table), bool(picker.sparse_output_))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if not _agree(branches, lambda rows: picker.transform(table.gather(rows))):
            return None
    forget_names(pipeline)
    return (steps[1][1] if len(steps) == 2 else type(pipeline)(steps[1:])), branches


def _branches(picker: Any, table: Table) -> tuple[Branch, ...]:
    found = []
    for name, transformer, _ in picker.transformers_:
        indices = picker._transformer_to_input_indices.get(name, ())
        if len(indices) and not (isinstance(transformer, str) and transformer == "drop"):
            found.append(_branch(transformer, [table.columns[i] for i in indices]))
    return tuple(found)


def _tells_names(pipeline: Any) -> bool:
    """Tell whether a part is not scikit-learn's own, a function of the user's, or set to answer in frames."""
    pickers = 0
    for part in parts(pipeline):
        kind = type(part).__name__
        pickers += kind == "ColumnTransformer"
        config = getattr(part, "_sklearn_output_config", {})
        if (
            not of_sklearn(part)
            or (kind == "FunctionTransformer" and part.func is not None)
            or config.get("transform", "default") != "default"
        ):
            return True
    return pickers > 1


def _branch(transformer: Any, columns: Sequence[Column]) -> Branch:
    steps = getattr(transformer, "steps", None)
    first = steps[0][1] if isinstance(steps, list) else transformer
    if type(first).__name__ in VECTORIZERS:
        dtype = None
    elif any(column.datatype == "BYTES" for column in columns):
        dtype = np.dtype(object)
    else:
        own = {TensorSpec(c.name, c.datatype, (-1,)).dtype for c in columns}
        encodes = any(hasattr(part, "categories_") for part in parts(transformer))
        dtype = own.pop() if len(own) == 1 else np.dtype(object if encodes else np.float64)
    transform = (lambda block: block) if isinstance(transformer, str) else transformer.transform
    return Branch(transform, tuple(columns), dtype)


def _agree(branches: Branches, original: Callable[[Tensors], Any]) -> bool:
    """Tell whether both ways give equal numbers, or both refuse, on all trial rows, and do not refuse all."""
    outcomes = [
        (_outcome(branches.gather, rows), _outcome(original, rows)) for rows in _trials(branches.table)
    ]
    equal = all(a is b is None or (a is not None and b is not None and _equal(a, b)) for a, b in outcomes)
    return equal and outcomes[0][0] is not None


def _trials(table: Table) -> list[dict[str, Any]]:
    """Return trial rows: ordinary ones, one with every missing value, one with unknown categories."""
    ordinary = table.example(4, 0.0)
    for place, column in enumerate(c for c in table.columns if c.used):
        values = ordinary[column.name]
        if column.categories:
            values[:] = [column.categories[i % len(column.categories)] for i in range(4)]
        elif column.datatype == "FP64":
            values[:] = np.array([0.0, 1.5, -20.25, 1000.0]) * (place + 1)
    missing = table.example(1, 1.0)
    unknown = table.example(1, 2.0)
    for column in table.columns:
        if column.used and column.nullable:
            missing[column.name][:] = None if column.datatype == "BYTES" else np.nan
        if column.categories and column.datatype == "BYTES":
            unknown[column.name][:] = "\x00 never seen"
    return [ordinary, missing, unknown]


def _outcome(compute: Callable[[Tensors], Any], rows: Tensors) -> Any:
    try:
        block = compute(rows)
    except ValueError:
        return None
    return block.toarray() if hasattr(block, "toarray") else np.asarray(block)


def _equal(one: Any, other: Any) -> bool:
    numbers = one.dtype.kind in "fc" and other.dtype.kind in "fc"
    return bool(np.array_equal(one, other, equal_nan=numbers)) and one.dtype == other.dtype
