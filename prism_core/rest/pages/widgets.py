"""Which form a signature has: a field for each value of a row, a picture, or a box for JSON.

Pure. Names and categories come from somebody's model: here they are values and nothing else; a
field is called ``c0``, ``c1`` ... in the form whatever its column's name is.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import attrs
import numpy as np

from prism_core.inputs.images import may_be_image
from prism_core.rest.describe import is_image, middle
from prism_core.types import Signature, TensorSpec

# A form of more fields helps nobody: then there is a table, or JSON.
MAX_FIELDS = 120
# A choice of more is typed, with suggestions.
MAX_CHOICES = 200
# A vector that could be a picture is taken for one from so many values on: a row of four is a row.
PICTURE_VALUES = 64

Kind = Literal["number", "choice", "text", "switch"]
Way = Literal["fields", "picture", "json"]


@attrs.frozen
class Field:
    """One value of a row.

    Parameters
    ----------
    key
        What it is called in the form.
    column
        What the model calls it, and the faults of a request; a place where columns have no names.
    label
        What people read.
    spec
        The tensor that it is part of.
    choices
        The categories that the model knows.
    span
        The lowest and the highest value that the model has seen, None where that is not known.
    """

    key: str
    column: str | int
    label: str
    kind: Kind
    spec: TensorSpec
    choices: tuple[Any, ...] = ()
    span: tuple[float, float] | None = None

    @property
    def optional(self) -> bool:
        """Whether it may be left empty: only floats and texts have a value for what is missing."""
        return self.spec.nullable and self.spec.dtype.kind in "fO"

    @property
    def whole(self) -> bool:
        """Whether it is an integer."""
        return self.spec.dtype.kind in "iu"

    @property
    def bounds(self) -> tuple[int, int] | None:
        """The least and the greatest integer that its datatype holds; None for all else."""
        if not self.whole:
            return None
        info = np.iinfo(self.spec.dtype)
        return int(info.min), int(info.max)

    @property
    def sample(self) -> Any:
        """A value that fits."""
        if self.choices:
            return self.choices[0]
        if self.kind == "switch":
            return False
        if self.kind == "text":
            return "text"
        return middle(self.spec, *self.span) if self.span else 0

    def is_beyond(self, value: Any) -> bool:
        """Return whether a number lies outside of what the model has seen."""
        if self.span is None or value is None:
            return False
        return not self.span[0] <= value <= self.span[1]


@attrs.frozen
class Form:
    """How a row of a model is filled in.

    Parameters
    ----------
    way
        "fields": one by one; "picture": a file; "json": as a program would write it.
    fields
        Those of a row, in the order of the model's columns.
    named
        A row is sent as a record, by the names of its columns; else as a list.
    table
        Whether a CSV file can hold rows of it.
    """

    way: Way
    fields: tuple[Field, ...] = ()
    named: bool = False
    table: bool = False


def form_of(signature: Signature) -> Form:
    """Return the form that ``signature`` has."""
    fields = _fields(signature)
    table = bool(fields) and signature.batch_axis
    if _takes_picture(signature):
        return Form("picture", table=table)
    if not fields or len(fields) > MAX_FIELDS or not signature.batch_axis:
        return Form("json", table=table)
    return Form("fields", tuple(fields), _has_names(signature), table)


def _fields(signature: Signature) -> list[Field]:
    if signature.columnar:
        return [_field(at, spec.name, spec) for at, spec in enumerate(signature.inputs)]
    if len(signature.inputs) != 1:
        return []
    (spec,) = signature.inputs
    if len(spec.shape) == 1:
        return [_field(0, spec.name, spec)]
    if len(spec.shape) != 2 or spec.shape[1] < 1:
        return []
    columns: tuple[str | int, ...] = spec.columns or tuple(range(spec.shape[1]))
    return [_field(at, column, spec, at) for at, column in enumerate(columns)]


def _field(at: int, column: str | int, spec: TensorSpec, place: int = 0) -> Field:
    label = f"{spec.name}[{column}]" if isinstance(column, int) else column
    choices = tuple(value for value in spec.categories if _is_value(value))
    span = spec.range_of(place)
    return Field(f"c{at}", column, label, _kind(spec, choices), spec, choices, span)


def _kind(spec: TensorSpec, choices: tuple[Any, ...]) -> Kind:
    if spec.dtype.kind == "b":
        return "switch"
    if choices and len(choices) <= MAX_CHOICES:
        return "choice"
    return "text" if spec.dtype.kind == "O" else "number"


def _is_value(value: Any) -> bool:
    """Whether a category is one to choose: what is missing is said by an empty field."""
    return value is not None and not (isinstance(value, float) and not math.isfinite(value))


def _has_names(signature: Signature) -> bool:
    """Whether a row may be a record: its columns have names, each its own, and it looks like nothing else."""
    if signature.columnar:
        return True
    columns = signature.inputs[0].columns
    return bool(columns) and len(set(columns)) == len(columns) and columns != ("b64",)


def _takes_picture(signature: Signature) -> bool:
    if len(signature.inputs) != 1 or signature.columnar:
        return False
    (spec,) = signature.inputs
    if spec.columns or not may_be_image(spec, signature.batch_axis):
        return False
    sides = spec.shape[1:] if signature.batch_axis else spec.shape
    if len(sides) == 2:  # a gray picture is as wide as it is high; a sequence of vectors is not
        return sides[0] == sides[1] and sides[0] ** 2 >= PICTURE_VALUES
    return is_image(spec) or (len(sides) == 1 and sides[0] >= PICTURE_VALUES)
