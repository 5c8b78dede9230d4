"""Column pipelines without data frames.

A ColumnTransformer spends 2 ms a call on picking columns out of a data frame, whatever the
rows. `Branches` hands each of its transformers an array of its own columns instead. It is
taken only where `same` finds both ways to agree on trial rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np

from prism_core.plugin import TensorSpec
from prism_sklearn.columns import VECTORIZERS, Column
from prism_sklearn.feeds import Table, Tensors
from prism_sklearn.walk import of_sklearn, parts


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
        The rest of the pipeline and its feed; None where the shape is another one, or where a
        transformer might look at the frame.
    """
    pipeline = getattr(estimator, "best_estimator_", estimator)
    steps = getattr(pipeline, "steps", None)
    if not table.frame or not isinstance(steps, list) or len(steps) < 2 or not of_sklearn(pipeline):
        return None
    picker = steps[0][1]
    if type(picker).__name__ != "ColumnTransformer" or picker.transformer_weights or _tells_names(pipeline):
        return None
    branches = []
    for name, transformer, _ in picker.transformers_:
        indices = picker._transformer_to_input_indices.get(name, ())
        if len(indices) and not (isinstance(transformer, str) and transformer == "drop"):
            branches.append(_branch(transformer, [table.columns[i] for i in indices]))
    rest = steps[1][1] if len(steps) == 2 else type(pipeline)(steps[1:])
    return rest, Branches(table, tuple(branches), bool(picker.sparse_output_))


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


def trials(table: Table) -> list[dict[str, Any]]:
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


def same(one: Callable[[Tensors], Any], other: Callable[[Tensors], Any], rows: Sequence[Tensors]) -> bool:
    """Tell whether both give equal answers, or both refuse, on all of ``rows``."""
    return all(_equal(_outcome(one, some), _outcome(other, some)) for some in rows)


def _outcome(compute: Callable[[Tensors], Any], rows: Tensors) -> Any:
    try:
        return compute(rows)
    except ValueError:
        return None


def _equal(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return one is None and other is None
    if np.asarray(one).dtype.kind == "f":
        return bool(np.allclose(one, other, rtol=1e-12, atol=1e-14, equal_nan=True))
    return bool(np.array_equal(one, other))
