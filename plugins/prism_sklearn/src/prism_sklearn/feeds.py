"""Feeds: how the tensors of a request become the ``X`` that an estimator takes.

Each feed says what it wants (``specs``), puts it together (``gather``) and can make a few
plausible rows (``example``). Rows have been checked against the specs before they come here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import attrs
import numpy as np

from prism_core.plugin import InvalidInput, TensorSpec, told_ranges
from prism_sklearn.columns import Column, is_missing

Tensors = Mapping[str, Any]


class Feed(Protocol):
    """What the model needs of a feed."""

    @property
    def specs(self) -> tuple[TensorSpec, ...]:
        """The inputs that it wants."""

    @property
    def columnar(self) -> bool:
        """Whether every input is one named column."""

    def gather(self, tensors: Tensors) -> Any:
        """Return what the estimator takes."""

    def example(self, rows: int, number: float) -> dict[str, Any]:
        """Return ``rows`` plausible rows, with ``number`` wherever any would do."""


@attrs.frozen
class Matrix:
    """One numeric or text matrix ``input`` of shape (rows, features), or (rows,) for ``features`` None.

    ``frame`` makes it a data frame, for models that look at column names. ``fill`` is a known
    value for each feature, None where any would do; ``ranges`` are those of
    `TensorSpec`.
    """

    features: int | None
    names: tuple[str, ...] = ()
    nullable: bool = False
    datatype: str = "FP64"
    frame: bool = False
    name: str = "input"
    values: tuple[Any, ...] = ()
    fill: tuple[Any, ...] = ()
    ranges: tuple[tuple[float, float] | None, ...] = ()
    columnar: bool = attrs.field(default=False, init=False)

    @property
    def specs(self) -> tuple[TensorSpec, ...]:
        """The inputs that it wants."""
        shape = (-1,) if self.features is None else (-1, self.features)
        spec = TensorSpec(
            self.name, self.datatype, shape, self.nullable, self.names, self.values, self.ranges
        )
        return (spec,)

    def gather(self, tensors: Tensors) -> Any:
        """Return what the estimator takes."""
        values = tensors[self.name]
        if self.datatype != "FP64":
            return values
        # Instead of scikit-learn's own check, made again by every step, which is turned off.
        if not self.nullable and not np.isfinite(values).all():
            raise InvalidInput(
                "The input holds NaN or infinity, which the model does not take.",
                hint="Send finite numbers, or fit the model behind an imputer.",
            )
        if self.frame:
            import pandas as pd

            return pd.DataFrame(values, columns=list(self.names))
        return values

    def example(self, rows: int, number: float) -> dict[str, Any]:
        """Return ``rows`` plausible rows, with ``number`` wherever any would do."""
        anything = self.values[0] if self.values else "a word" if self.datatype == "BYTES" else number
        row = [anything if value is None else value for value in self.fill]
        if not row:
            row = [anything] * max(self.features or 1, 1)
        shape = (rows,) if self.features is None else (rows, len(row))
        return {self.name: np.array([row] * rows, dtype=self.specs[0].dtype).reshape(shape)}


@attrs.frozen
class Table:
    """Named columns, handed over as a data frame, or as one object array if it was fitted on one."""

    columns: tuple[Column, ...]
    frame: bool = True
    columnar: bool = attrs.field(default=True, init=False)

    @property
    def specs(self) -> tuple[TensorSpec, ...]:
        """The inputs that it wants."""
        return tuple(_spec(c, c.nullable) for c in self.columns if c.used)

    def gather(self, tensors: Tensors) -> Any:
        """Return what the estimator takes."""
        used = [c for c in self.columns if c.used]
        arrays = {c.name: self.array(c, tensors[c.name].reshape(-1)) for c in used}
        if self.frame:
            import pandas as pd

            return pd.DataFrame(arrays, copy=False)
        rows = len(next(iter(arrays.values())))
        table = np.zeros((rows, len(self.columns)), dtype=object)
        for place, column in enumerate(self.columns):
            if column.used:
                table[:, place] = arrays[column.name]
        return table

    def array(self, column: Column, values: Any) -> Any:
        """Return the values of one column, with what the estimator knows as a missing value."""
        if column.datatype != "BYTES" or not column.nullable:
            return values
        if column.missing is None:
            import pandas as pd

            # As a plain array pandas 3 would infer its text type, whose missing value is NaN.
            return pd.Series(values, dtype=object) if self.frame else values
        absent = np.fromiter((value is None for value in values), bool, len(values))
        if absent.any():
            values = values.copy()
            values[absent] = column.missing
        return values

    def example(self, rows: int, number: float) -> dict[str, Any]:
        """Return ``rows`` plausible rows, with ``number`` wherever any would do."""

        def fill(column: Column) -> Any:
            if column.categories:
                return column.categories[0]
            return "a word" if column.datatype == "BYTES" else number

        dtypes = {spec.name: spec.dtype for spec in self.specs}
        return {c.name: np.full(rows, fill(c), dtype=dtypes[c.name]) for c in self.columns if c.used}


@attrs.frozen
class Dicts:
    """Named columns, handed over as one dict a row; what is missing is left out (DictVectorizer)."""

    columns: tuple[Column, ...]
    columnar: bool = attrs.field(default=True, init=False)

    @property
    def specs(self) -> tuple[TensorSpec, ...]:
        """The inputs that it wants."""
        return tuple(_spec(c, nullable=True) for c in self.columns)

    def gather(self, tensors: Tensors) -> Any:
        """Return what the estimator takes."""
        names = [c.name for c in self.columns]
        rows = zip(*(tensors[name].reshape(-1).tolist() for name in names), strict=True)
        return [{n: v for n, v in zip(names, row, strict=True) if not is_missing(v)} for row in rows]

    def example(self, rows: int, number: float) -> dict[str, Any]:
        """Return ``rows`` plausible rows, with ``number`` wherever any would do."""
        return Table(self.columns).example(rows, number)


def _spec(column: Column, nullable: bool) -> TensorSpec:
    ranges = told_ranges({0: column.range}, 1) if column.range else ()
    return TensorSpec(column.name, column.datatype, (-1,), nullable, (), column.categories, ranges)


def dict_columns(feature_names: Sequence[str], separator: str) -> tuple[Column, ...]:
    """Return the columns behind a DictVectorizer's features: ``city=London`` is text, ``age`` a number."""
    columns: dict[str, Column] = {}
    for feature in feature_names:
        name, is_text, value = feature.partition(separator)
        column = columns.setdefault(name, Column(name, "FP64", nullable=True, used=True))
        if is_text:
            column.datatype = "BYTES"
            column.categories = (*column.categories, value)
    return tuple(columns.values())
