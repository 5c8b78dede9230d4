"""Whether two forms of a model answer alike. Pure: batches in, an objection or none out.

Whatever is no number must be equal. A number may be off by the tolerance, relative to its
own size or, where it is smaller than usual, to what is usual for its output. What one form
refuses the other must refuse too.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from prism_core.errors import RequestError
from prism_core.protocols import BaseModel
from prism_core.types import Batch, rows_of

Values = Mapping[str, np.ndarray[Any, Any]]


class Proof:
    """Compares two forms batch by batch, and remembers how far they were apart.

    Attributes
    ----------
    rows
        Rows compared so far.
    largest_error
        The largest relative error of any number, inf where one has a number and the other none.
    """

    def __init__(self, original: BaseModel, twin: BaseModel, tolerance: float, usual: Values) -> None:
        self._original = original
        self._twin = twin
        self._tolerance = tolerance
        self._usual = usual
        self._names = tuple(spec.name for spec in original.signature.outputs)
        self.rows = 0
        self.largest_error = 0.0

    def objection(self, batch: Batch) -> str:
        """Compare the forms on ``batch``; return "" or where they differ."""
        ours, theirs = (answers(model, batch, self._names) for model in (self._original, self._twin))
        if isinstance(ours, dict) and isinstance(theirs, dict):
            self.rows += batch.rows
            return self._difference(ours, theirs)
        if batch.rows > 1:
            middle = batch.rows // 2
            first = self.objection(rows_of(batch, 0, middle))
            return first or self.objection(rows_of(batch, middle, batch.rows))
        self.rows += 1
        if isinstance(ours, str) and ours == theirs:
            return ""
        return f"the original {_did(ours)} a row that the converted form {_did(theirs)}: {shown(batch)}"

    def _difference(self, ours: Values, theirs: Values) -> str:
        for name in self._names:
            mine, other = np.asarray(ours[name]), np.asarray(theirs[name])
            if mine.shape != other.shape or mine.dtype != other.dtype:
                return f"{name} is {other.dtype} {other.shape} instead of {mine.dtype} {mine.shape}"
            if mine.dtype.kind != "f":
                unequal = int((mine != other).reshape(len(mine), -1).any(axis=1).sum())
                if unequal:
                    return f"{name} differ in {unequal} of {len(mine)} rows"
                continue
            error = error_of(mine, other, self._usual.get(name))
            self.largest_error = max(self.largest_error, error)
            if not error <= self._tolerance:
                return f"{name} are off by {error:.1e}, more than {self._tolerance:g}"
        return ""


def answers(model: BaseModel, batch: Batch, names: tuple[str, ...]) -> dict[str, Any] | str:
    """Return all outputs, or "refuses" or "fails on" where there are none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of overflow: both forms are asked for the utmost
            return dict(model.predict(Batch(batch.tensors, names)).tensors)
    except RequestError:
        return "refuses"
    except Exception:  # a model's own error: as a request it would be answered 500
        return "fails on"


def error_of(mine: Any, other: Any, usual: Any = None) -> float:
    """Return the largest relative error; inf where NaN or infinity stand in different places."""
    finite = np.isfinite(mine)
    if (
        not np.array_equal(mine[~finite], other[~finite], equal_nan=True)
        or not np.isfinite(other[finite]).all()
    ):
        return float("inf")
    size = np.abs(mine)
    if usual is not None:
        size = np.maximum(size, usual)
    with np.errstate(over="ignore"):
        apart = np.abs(other[finite] - mine[finite])
        errors = apart / np.maximum(size[finite], np.finfo(mine.dtype).tiny)
    return float(errors.max(initial=0.0))


def usual_sizes(answered: Values) -> dict[str, Any]:
    """Return the mean magnitude of each number of each output, over the rows."""
    sizes = {}
    for name, values in answered.items():
        array = np.asarray(values)
        if array.dtype.kind == "f" and len(array):
            kept = np.where(np.isfinite(array), np.abs(array), 0.0)
            # A column that is nearly always zero is measured by its neighbours.
            sizes[name] = np.maximum(kept.mean(axis=0), kept.mean() * 1e-3)
    return sizes


def shown(batch: Batch) -> str:
    """Return a row for a message."""
    text = ", ".join(
        f"{name}={np.asarray(values).ravel()[:4].tolist()}" for name, values in batch.tensors.items()
    )
    return text if len(text) <= 200 else text[:197] + "..."


def _did(outcome: Any) -> str:
    return outcome if isinstance(outcome, str) else "answers"
