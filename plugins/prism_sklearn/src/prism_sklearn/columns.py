"""Learn what each input column is from the transformers that were fitted on it.

The walk follows the way that a row takes through pipelines, column transformers, unions and
meta-estimators. Missing values flow with it: a column is nullable when every step that sees
its missing values accepts them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import attrs
import numpy as np

from prism_sklearn.walk import inner, of_sklearn, tag

IMPUTERS = ("SimpleImputer", "KNNImputer", "IterativeImputer", "MissingIndicator")
VECTORIZERS = ("CountVectorizer", "TfidfVectorizer", "HashingVectorizer")


@attrs.define(eq=False)
class Column:
    """What is known of one input column.

    ``datatype`` is "" while nothing tells; ``missing`` is what stands for a missing value in
    front of the estimator; ``range`` is where its numbers lay in training; ``used`` is False for a
    column that every transformer drops.
    """

    name: str
    datatype: str = ""
    nullable: bool = False
    missing: Any = math.nan
    categories: tuple[Any, ...] = ()
    range: tuple[float, float] | None = None
    used: bool = False
    refused: bool = False


Columns = Sequence[Column]


class Survey:
    """Walks a fitted estimator once and fills in `Column` records.

    ``columnar`` becomes True when a transformer picks columns.
    """

    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        self.columnar = False

    def run(self, estimator: Any) -> None:
        """Learn all that ``estimator`` tells, and settle which columns are nullable."""
        self.visit(estimator, self.columns, self.columns)
        for column in self.columns:
            column.nullable = column.used and not column.refused
            if column.nullable and column.datatype in ("INT64", "BOOL"):
                column.datatype = "FP64"  # integers have no missing value

    def visit(self, step: Any, columns: Columns, open_: Columns) -> tuple[Columns, Columns]:
        """Learn from one step.

        Parameters
        ----------
        step
            A fitted estimator, or "passthrough" or "drop".
        columns
            The columns that enter, () when they are mixed already.
        open_
            Those of the original columns whose missing values may still be there.

        Returns
        -------
        tuple
            The columns that leave, () when they are mixed, and those still open.
        """
        if isinstance(step, str) or step is None:
            return ((), ()) if step == "drop" else (_use(columns), open_)
        kind = _kind(step)
        if kind == "Pipeline":
            for _, one in step.steps:
                columns, open_ = self.visit(one, columns, open_)
            return columns, open_
        if kind == "ColumnTransformer":
            if not columns:
                return (), _refuse(open_)
            return self._branches(_picked(step, columns), open_, picks=True)
        if kind == "FeatureUnion":
            return self._branches([(one, columns) for _, one in step.transformer_list], open_)
        return self._leaf(kind, step, columns, open_)

    def _branches(
        self, branches: Iterable[tuple[Any, Columns]], open_: Columns, *, picks: bool = False
    ) -> tuple[Columns, Columns]:
        self.columnar |= picks
        left: list[Column] = []
        for step, columns in branches:
            entering = [c for c in open_ if not picks or c in columns]
            left += [c for c in self.visit(step, columns, entering)[1] if c not in left]
        return (), left

    def _leaf(self, kind: str, step: Any, columns: Columns, open_: Columns) -> tuple[Columns, Columns]:
        members = [one for one in inner(step) if _width(one) in (None, len(columns))] if columns else []
        if members:
            return self._branches([(one, columns) for one in members], open_)
        _use(columns)
        if kind in VECTORIZERS:
            _type(columns, "BYTES")
            return (), _refuse(open_)
        if kind in IMPUTERS:
            return _imputed(step, columns), ()
        if _encodes(step, columns):
            return (), _encoded(step, columns, open_)
        if kind == "FunctionTransformer":
            own = step.func is None or step.feature_names_out == "one-to-one"
            return (columns if own else ()), open_
        preprocessor = getattr(step, "_preprocessor", None)  # HistGradientBoosting over a data frame
        if preprocessor is not None:
            self.visit(preprocessor, columns, ())
            return (), open_
        return self._numeric(step, columns, open_)

    def _numeric(self, step: Any, columns: Columns, open_: Columns) -> tuple[Columns, Columns]:
        if of_sklearn(step):
            _type([c for c in columns if not c.datatype], "FP64")
        one_to_one = any(base.__name__ == "OneToOneFeatureMixin" for base in type(step).__mro__)
        kept = columns if one_to_one and hasattr(step, "transform") else ()
        return kept, open_ if allows_missing(step) else _refuse(open_)


def allows_missing(step: Any) -> bool:
    """Tell whether an estimator's tags say that it accepts NaN."""
    return bool(tag(step, "allow_nan"))


def is_missing(value: Any) -> bool:
    """Tell whether a category stands for a missing value."""
    return (
        value is None or (isinstance(value, float) and math.isnan(value)) or type(value).__name__ == "NAType"
    )


def kind_of(values: Iterable[Any]) -> str:
    """Return the datatype that holds all of ``values``."""
    types = {type(value) for value in values}
    if types <= {bool}:
        return "BOOL"
    if types <= {int}:
        return "INT64"
    if types <= {int, float, bool}:
        return "FP64"
    return "BYTES"


def _kind(step: Any) -> str:
    """Return the name of the scikit-learn class that ``step`` is, or derives from."""
    for base in type(step).__mro__:
        if base.__module__.partition(".")[0] == "sklearn":
            return base.__name__
    return type(step).__name__


def _width(step: Any) -> int | None:
    try:
        return int(step.n_features_in_)
    except (AttributeError, TypeError):
        return None


def _use(columns: Columns) -> Columns:
    for column in columns:
        column.used = True
    return columns


def _type(columns: Columns, datatype: str) -> None:
    for column in columns:
        column.datatype = datatype


def _refuse(columns: Columns) -> Columns:
    for column in columns:
        column.refused = True
    return ()


def _picked(step: Any, columns: Columns) -> list[tuple[Any, Columns]]:
    """Return each transformer of a ColumnTransformer with the columns that it was fitted on."""
    picked: list[tuple[Any, Columns]] = []
    for name, transformer, _ in step.transformers_:
        indices = step._transformer_to_input_indices.get(name, ())
        if columns and len(indices) and not (isinstance(transformer, str) and transformer == "drop"):
            picked.append((transformer, [columns[i] for i in indices]))
    return picked


def _imputed(step: Any, columns: Columns) -> Columns:
    texts = getattr(getattr(step, "_fit_dtype", None), "kind", "f") in "OUS"
    for column in columns:
        column.datatype = column.datatype or ("BYTES" if texts else "")
        if texts and step.missing_values is None:
            column.missing = None
    shape_kept = len(getattr(step, "statistics_", columns)) == len(columns) and not getattr(
        step, "add_indicator", False
    )
    return columns if shape_kept and _kind(step) != "MissingIndicator" else ()


def _encodes(step: Any, columns: Columns) -> bool:
    categories = getattr(step, "categories_", None)
    return isinstance(categories, list) and bool(columns) and len(categories) == len(columns)


def _encoded(step: Any, columns: Columns, open_: Columns) -> Columns:
    for column, categories in zip(columns, step.categories_, strict=True):
        values = np.asarray(categories).tolist()
        known = [value for value in values if not is_missing(value)]
        absent = [value for value in values if is_missing(value)]
        column.categories = tuple(known)
        column.datatype = kind_of(known) if known else "BYTES"
        if absent and not any(isinstance(value, float) for value in absent):
            column.missing = absent[0]
        if column in open_ and not absent:
            column.refused = True
    return ()
