"""``text/csv``: a header that names columns, then a line a row; an empty cell is a missing value.

Without a header (``?header=false``) the columns are the model's, in its order. A model whose
columns have no names takes any header, and needs none when the first line is all numbers.
Blank lines are skipped: in a lone column a missing value is written ``""``.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np

from prism_core.fitting.counting import check_values
from prism_core.fitting.faults import Faults, check_names, only_input
from prism_core.fitting.fit import column_place, finish
from prism_core.fitting.values import ABSENT, array_of, leaf
from prism_core.inputs.text import decode, flag
from prism_core.plugin import Answer, Batch, InvalidInput, MalformedBody, Request, Signature, TensorSpec

Array = np.ndarray[Any, Any]

INTEGER = re.compile(r"[+-]?[0-9]{1,4000}")
# Each digit fits one place only: with `[0-9]+\.?[0-9]*` a cell of 100,000 digits and an x took a minute.
REAL = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
BOOLS = {"true": True, "false": False}
MISSING = ("", "nan")


def normalize(body: memoryview, signature: Signature, request: Request) -> Batch:
    """Return the batch of the table in ``body``.

    Raises
    ------
    MalformedBody
        If it is not CSV.
    InvalidInput
        With every row and column that does not fit; rows count from 0, without the header.
    PayloadTooLarge
        If it has more cells than the server takes.
    """
    check_values(body, request.limits, lines=True)
    lines = lines_of(decode(body, request).removeprefix("\ufeff"))
    specs, named = specs_of(signature, len(lines[0]))
    header, rows = header_of(lines, named, request)
    faults = Faults()
    columns = _columns(header, rows, specs, faults)
    arrays = {
        name: _array([row[at] for row in rows], specs[name], name, faults) for name, at in columns.items()
    }
    faults.check()
    return finish(_tensors(arrays, signature), signature)


def lines_of(text: str) -> list[list[str]]:
    """Return the cells of every line that is not blank; at least one."""
    try:
        lines = [line for line in csv.reader(io.StringIO(text, newline=""), strict=True) if line]
    except csv.Error as error:
        long = "larger than" in str(error)
        raise MalformedBody(
            f"The body is not CSV: {error}.",
            hint="Is a quote left open? Send longer texts as JSON."
            if long
            else 'Quote cells with commas: "a, b".',
        ) from None
    if not lines:
        raise InvalidInput("The request holds no rows.", hint="Send a header and at least one line.")
    return lines


def specs_of(signature: Signature, width: int) -> tuple[dict[str, TensorSpec], bool]:
    """Return the model's columns, and whether they have names; otherwise they are numbered."""
    if signature.columnar:
        return {spec.name: spec for spec in signature.inputs}, True
    spec = only_input(signature, "text/csv")
    if len(spec.shape) == 1:
        return {spec.name: spec}, False
    if len(spec.shape) != 2:
        raise InvalidInput(
            f"Input {spec.name!r} of shape {spec.shape} is not a table.", hint="Send JSON or .npy."
        )
    known = spec.shape[1] if spec.shape[1] >= 0 else width
    return dict.fromkeys(spec.columns or map(str, range(known)), spec), bool(spec.columns)


def header_of(
    lines: list[list[str]], named: bool, request: Request
) -> tuple[list[str] | None, list[list[str]]]:
    """Return the header, None where columns go by their places, and the other lines."""
    numbers = all(REAL.fullmatch(cell.strip()) for cell in lines[0])
    if not flag(request, "header", default=named or not numbers):
        return None, lines
    return [cell.strip() for cell in lines[0]] if named else None, lines[1:]


def _columns(
    header: list[str] | None, rows: list[list[str]], specs: dict[str, TensorSpec], faults: Faults
) -> dict[str, int]:
    """Return where each column stands; no rows are left of a wrong length."""
    if header is None:
        places = {name: at for at, name in enumerate(specs)}
    else:
        if all(REAL.fullmatch(cell) for cell in header) and not set(header) & set(specs):
            raise InvalidInput(
                "The first line holds numbers, not the names of columns.",
                hint="Add ?header=false, or a header.",
            )
        if len(set(header)) < len(header):
            raise InvalidInput(
                "The header names a column twice.", hint=f"It holds {', '.join(header)[:200]}."
            )
        check_names(header, specs, faults)
        places = {name: header.index(name) for name in specs if name in header}
    width = len(specs) if header is None else len(header)
    for at, row in enumerate(rows):
        if len(row) != width:
            faults.add(at, "", f"{width} cells", f"{len(row)} cells")
            rows[at] = [ABSENT] * width  # type: ignore[list-item]
    return places


def _array(cells: Sequence[str], spec: TensorSpec, name: str, faults: Faults) -> Any:
    values = cells if spec.dtype.kind == "O" and not spec.nullable else _quick(cells, spec)
    if values is None:
        read = _READERS[spec.dtype.kind]
        values = [cell if cell is ABSENT else read(cell, spec) for cell in cells]
    return array_of(values, spec, (-1,), faults, column_place(name))


def _quick(cells: Sequence[str], spec: TensorSpec) -> Any:
    """Read a column of plain numbers as the JSON list that it is; None if it is more than that."""
    if spec.dtype.kind not in "iuf":
        return None
    try:
        values = msgspec.json.decode(f"[{','.join(cells)}]", type=list[leaf(spec.datatype, False)])  # type: ignore[misc]
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError):
        return None
    # A quoted cell may hold a comma of its own: then there are more numbers than cells.
    return values if len(values) == len(cells) else None


def _number(cell: str, spec: TensorSpec) -> Any:
    text = cell.strip()
    if text.lower() in MISSING:
        return None
    if INTEGER.fullmatch(text):
        return int(text)
    return float(text) if REAL.fullmatch(text) else cell


def _bool(cell: str, spec: TensorSpec) -> Any:
    return None if not cell.strip() else BOOLS.get(cell.strip().lower(), cell)


def _text(cell: str, spec: TensorSpec) -> Any:
    return None if cell == "" and spec.nullable else cell


_READERS: dict[str, Callable[[str, TensorSpec], Any]] = {
    "i": _number,
    "u": _number,
    "f": _number,
    "b": _bool,
    "O": _text,
}


def _tensors(arrays: dict[str, Array], signature: Signature) -> dict[str, Array]:
    if signature.columnar:
        specs = {spec.name: spec for spec in signature.inputs}
        return {name: a[:, None] if len(specs[name].shape) == 2 else a for name, a in arrays.items()}
    spec = signature.inputs[0]
    columns = list(arrays.values())
    return {spec.name: columns[0] if len(spec.shape) == 1 else np.stack(columns, axis=1)}


# --- out -------------------------------------------------------------------------------------


def encode(answer: Answer) -> bytes:
    """Return the outputs as a table: one column an output, or for a matrix one a class or place."""
    header: list[str] = []
    columns: list[Sequence[Any]] = []
    for name, tensor in answer.outputs.tensors.items():
        shown = "predictions" if name == answer.signature.predictions else name
        for column, cells in _written(shown, tensor, answer.signature):
            header.append(column)
            columns.append(cells)
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    # Only a model without a batch axis answers outputs of different lengths.
    rows = max(map(len, columns), default=0)
    writer.writerows(zip(*([*cells, *[""] * (rows - len(cells))] for cells in columns), strict=True))
    return file.getvalue().encode("utf-8", "replace")


def _written(name: str, tensor: Any, signature: Signature) -> list[tuple[str, Sequence[Any]]]:
    if not isinstance(tensor, np.ndarray):
        return [(name, [json.dumps(one, default=str) for one in tensor])]
    table = np.atleast_1d(tensor)
    if table.ndim == 1:
        return [(name, _cells(table))]
    labels = ["_".join(map(str, place)) for place in np.ndindex(table.shape[1:])]
    if table.ndim == 2 and len(signature.classes) == table.shape[1]:
        labels = [str(label) for label in signature.classes]
    flat = table.reshape(len(table), len(labels))
    return [(f"{name}_{label}", _cells(flat[:, at])) for at, label in enumerate(labels)]


def _cells(column: Array) -> Sequence[Any]:
    if column.dtype.kind == "f":
        # As text, a float32 has its own shortest digits; as a Python float it would have a double's.
        text = column.astype(str).tolist()
        return ["" if cell == "nan" else cell for cell in text]
    if column.dtype.kind == "b":
        return ["true" if one else "false" for one in column.tolist()]
    return ["" if one is None else one for one in column.tolist()]
