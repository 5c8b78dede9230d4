"""Every form in which JSON may say what a model takes, with every fault at once.

The careful way behind `json_quick`. A *table* (a columnar signature, or one matrix with
named columns) is said as records, one record, rows, one row, columns, or pandas' split
orient. Tensors are said as nested lists, by name where there are several.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from prism_core.fitting.faults import Faults, check_names, listed, only_input, quote
from prism_core.fitting.fit import column_place, finish, placer
from prism_core.fitting.values import ABSENT, array_of
from prism_core.inputs.images import decode_base64, may_be_image
from prism_core.plugin import Batch, InvalidInput, Request, Signature, TensorSpec

Array = np.ndarray[Any, Any]


def arrange(value: Any, signature: Signature, request: Request) -> Batch:
    """Return the batch that the decoded JSON ``value`` means.

    Raises
    ------
    InvalidInput
        With every row and column that does not fit.
    """
    faults = Faults()
    if signature.columnar:
        tensors = _columns(value, signature, faults)
    elif _names_tensors(value, signature):
        check_names(value, [spec.name for spec in signature.inputs], faults)
        given = [spec for spec in signature.inputs if spec.name in value]
        tensors = {s.name: _tensor(value[s.name], s, signature, faults, request) for s in given}
    else:
        tensors = _unnamed(value, signature, faults, request)
    faults.check()
    return finish(tensors, signature)


def _names_tensors(value: Any, signature: Signature) -> bool:
    if not isinstance(value, dict) or "b64" in value:
        return False
    spec = signature.inputs[0]
    named = spec.name in value and spec.name not in spec.columns
    return len(signature.inputs) > 1 or not spec.columns or named


def _unnamed(value: Any, signature: Signature, faults: Faults, request: Request) -> dict[str, Any]:
    if _are_records(value) and (len(signature.inputs) > 1 or not signature.inputs[0].columns):
        return _from_rows(value, signature, faults, request)
    spec = only_input(signature, "A bare value")
    if spec.columns and (isinstance(value, dict) or _are_records(value)) and not _is_image(value):
        columns = _table(value, spec.columns, faults)
        arrays = [_column(values, spec, name, faults) for name, values in columns.items()]
        if faults.count or not arrays:
            return {}
        return {spec.name: np.stack([a.reshape(len(a)) for a in arrays], axis=1)}
    return {spec.name: _tensor(value, spec, signature, faults, request)}


def _from_rows(
    rows: list[dict[str, Any]], signature: Signature, faults: Faults, request: Request
) -> dict[str, Any]:
    """Join tensors that are given row by row, as KServe's V1 does: ``[{"a": [..], "b": ..}, ...]``."""
    columns = _records(rows, [spec.name for spec in signature.inputs], faults)
    if faults.count:
        return {}
    return {s.name: _tensor(columns[s.name], s, signature, faults, request) for s in signature.inputs}


# --- tables ----------------------------------------------------------------------------------


def _columns(value: Any, signature: Signature, faults: Faults) -> dict[str, Any]:
    specs = {spec.name: spec for spec in signature.inputs}
    tensors: dict[str, Any] = {}
    for name, values in _table(value, tuple(specs), faults).items():
        array = _column(values, specs[name], name, faults)
        tensors[name] = array[:, None] if array is not None and len(specs[name].shape) == 2 else array
    return tensors


def _column(values: Sequence[Any], spec: TensorSpec, name: str, faults: Faults) -> Any:
    return array_of(values, spec, (-1,), faults, column_place(name))


def _table(value: Any, names: Sequence[str], faults: Faults) -> dict[str, Sequence[Any]]:
    """Return the values of each of the columns ``names``, in their order."""
    if isinstance(value, dict):
        if _is_split(value, names):
            return _split(value, names, faults)
        if any(isinstance(one, list) for one in value.values()):
            return _by_column(value, names, faults)
        return _records([value], names, faults)
    if not isinstance(value, list):
        value = [value]
    if any(isinstance(row, dict) for row in value):
        return _records(value, names, faults)
    if not any(isinstance(row, list) for row in value):
        value = [[one] for one in value] if len(names) == 1 else [value] if value else []
    return _rows(value, names, faults)


def _is_split(value: dict[str, Any], names: Sequence[str]) -> bool:
    has = "columns" in value and "data" in value and value.keys() <= {"columns", "data", "index"}
    return has and not {"columns", "data"} <= set(names)


def _split(value: dict[str, Any], names: Sequence[str], faults: Faults) -> dict[str, Sequence[Any]]:
    header, data = value["columns"], value["data"]
    if not isinstance(header, list) or not isinstance(data, list):
        raise InvalidInput(
            '"columns" and "data" must be lists.', hint='{"columns": ["a"], "data": [[1], [2]]}'
        )
    if not all(isinstance(name, str) for name in header) or len(set(header)) < len(header):
        raise InvalidInput('"columns" must be different names.', hint=f"The model takes {listed(names)}.")
    check_names(header, names, faults)
    by_name = _rows(data, header, faults)
    return {name: by_name[name] for name in names if name in by_name}


def _by_column(value: dict[str, Any], names: Sequence[str], faults: Faults) -> dict[str, Sequence[Any]]:
    check_names(value, names, faults)
    columns: dict[str, Sequence[Any]] = {}
    for name in names:
        if isinstance(value.get(name), list):
            columns[name] = value[name]
        elif name in value:
            faults.add(0, name, "a list of values", quote(value[name]))
    lengths = {len(values) for values in columns.values()}
    if len(lengths) > 1:
        shown = listed(f"{name} {len(values)}" for name, values in columns.items())
        raise InvalidInput(
            f"The columns have different lengths: {shown}.", hint="Send as many values of each."
        )
    return columns


def _records(rows: list[Any], names: Sequence[str], faults: Faults) -> dict[str, Sequence[Any]]:
    wanted = set(names)
    for at, row in enumerate(rows):
        if not isinstance(row, dict):
            faults.add(at, "", "an object", quote(row))
        elif row.keys() != wanted:
            check_names(row, names, faults, at)
    if faults.count:
        rows = [row if isinstance(row, dict) else {} for row in rows]
    return {name: [row.get(name, ABSENT) for row in rows] for name in names}


def _rows(rows: list[Any], names: Sequence[str], faults: Faults) -> dict[str, Sequence[Any]]:
    width = len(names)
    for at, row in enumerate(rows):
        if not isinstance(row, list):
            faults.add(at, "", f"a list of {width} values", quote(row))
        elif len(row) != width:
            faults.add(at, "", f"{width} values ({listed(names)})", f"{len(row)} values")
    if faults.count:
        # A row of the wrong length says nothing about which of its values belongs where.
        rows = [row if isinstance(row, list) and len(row) == width else [ABSENT] * width for row in rows]
    columns: Iterable[Sequence[Any]] = zip(*rows, strict=True) if rows else [()] * width
    return dict(zip(names, columns, strict=True))


# --- tensors ---------------------------------------------------------------------------------


def _tensor(value: Any, spec: TensorSpec, signature: Signature, faults: Faults, request: Request) -> Any:
    # In a matrix a string is far more likely a number in quotes than a picture.
    as_image = _is_image(value) if len(spec.shape) > 2 else _is_image(value, strings=False)
    if as_image and may_be_image(spec, signature.batch_axis):
        return decode_base64(value, spec, signature.batch_axis, request, faults)
    if signature.batch_axis:
        value = _with_batch_axis(value, spec)
    return array_of(value, spec, spec.shape, faults, placer(spec, signature))


def _with_batch_axis(value: Any, spec: TensorSpec) -> Any:
    """Add the batch axis that a single row omits, or add or drop the last axis of a lone column."""
    rank, depth = len(spec.shape), _depth(value)
    if rank == 1 and depth == 2 and all(isinstance(row, list) and len(row) == 1 for row in value):
        return [row[0] for row in value]
    if rank == 2 and spec.shape[1] == 1 and depth <= 1:
        return [[one] for one in value] if depth else [[value]]
    return [value] if depth == rank - 1 and value != [] else value


def _depth(value: Any) -> int:
    """Return how deep the lists are nested, by the first that goes on at each level."""
    depth = 0
    while isinstance(value, list):
        depth += 1
        value = next((one for one in value if isinstance(one, list)), None)
    return depth


def _are_records(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(row, dict) for row in value) and not _is_image(value)


def _is_image(value: Any, *, strings: bool = True) -> bool:
    """Whether ``value`` is ``{"b64": ...}`` or a base64 string, or a list of them."""
    if isinstance(value, list):
        return bool(value) and all(
            not isinstance(one, list) and _is_image(one, strings=strings) for one in value
        )
    return (strings and isinstance(value, str)) or (isinstance(value, dict) and value.keys() == {"b64"})
