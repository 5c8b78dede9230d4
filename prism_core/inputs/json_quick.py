"""The quick way for JSON: one typed decoder per signature, made once.

A request in one of the usual forms is decoded, type-checked and laid out without a Python
loop over its values, a small one in 2-4 us. Everything else (rare forms, and all faults)
is None here and left to `json_forms`, which must agree with this module on every body
that both understand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from operator import attrgetter, itemgetter
from typing import Any, Union

import attrs
import msgspec
import numpy as np
from msgspec import UNSET, UnsetType

from prism_core.fitting.values import MISFITS, has_shape, leaf, nested
from prism_core.plugin import Batch, Signature, TensorSpec

Array = np.ndarray[Any, Any]
Tensors = dict[str, Array]


@attrs.frozen
class Quick:
    """What is compiled for one signature: the type of ``input``, and its layout as tensors.

    ``tensors`` returns None, or raises one of `MISFITS`, where it cannot say.
    """

    kind: Any
    tensors: Callable[[Any], Tensors | None]


def read(body: memoryview, signature: Signature) -> Batch | None:
    """Return the batch of a body in a usual form, or None."""
    decode, tensors = _compiled(signature)
    try:
        document = decode(body)
        value = document.input
        if value is UNSET:
            value = document.instances
        elif document.instances is not UNSET:
            return None
        found = None if value is UNSET else tensors(value)
    except MISFITS:
        return None
    return None if found is None else Batch(found, document.outputs, document.parameters or {})


@lru_cache(maxsize=256)
def compiled(signature: Signature) -> Quick:
    """Return what is compiled for ``signature``."""
    try:
        quick = _quick(signature)
        msgspec.json.Decoder(quick.kind)
    except (TypeError, ValueError):  # msgspec takes no such type, for instance a name with a quote in it
        return Quick(Any, lambda value: None)
    return quick


@lru_cache(maxsize=256)
def _compiled(signature: Signature) -> tuple[Callable[[memoryview], Any], Callable[[Any], Tensors | None]]:
    quick = compiled(signature)
    return msgspec.json.Decoder(_document(quick.kind)).decode, quick.tensors


def _document(kind: Any) -> Any:
    wanted = Union[kind, UnsetType]  # noqa: UP007 - a value here, and `Any | x` is not one
    fields = [
        ("input", wanted, UNSET),
        ("instances", wanted, UNSET),
        ("outputs", tuple[str, ...], ()),
        ("parameters", dict[str, Any] | None, None),
    ]
    return msgspec.defstruct("Document", fields, forbid_unknown_fields=True)


def _quick(signature: Signature) -> Quick:
    spec = signature.inputs[0]
    if signature.columnar:
        return _table(signature.inputs)
    if len(signature.inputs) > 1:
        return _named(signature)
    if not signature.batch_axis or len(spec.shape) > 2 or not spec.shape:
        return _tensor(spec)
    return _vector(spec) if len(spec.shape) == 1 else _matrix(spec)


def _kind(spec: TensorSpec) -> Any:
    return leaf(spec.datatype, spec.nullable)


def _record(kinds: Iterable[tuple[str, Any]]) -> Any:
    """Return a struct whose fields f0, f1 ... stand for any names."""
    kinds = list(kinds)
    fields = [(f"f{at}", kind) for at, (_, kind) in enumerate(kinds)]
    rename = {f"f{at}": name for at, (name, _) in enumerate(kinds)}
    return msgspec.defstruct("Record", fields, rename=rename, forbid_unknown_fields=True)


def _one_type(rows: list[Any]) -> Any:
    """Return the type of all ``rows``, None where they differ or are none."""
    if len(rows) == 1:
        return type(rows[0])
    kinds = set(map(type, rows))
    return kinds.pop() if len(kinds) == 1 else None


def _all_scalars(row: list[Any]) -> bool:
    return all(type(one) in (str, int, float, bool, type(None)) for one in row)


# --- columns: records, rows, and the values of a lone column ---------------------------------


@attrs.frozen
class _Group:
    """Columns of one dtype, made together: ``pick`` takes their values out of a row of each type."""

    dtype: np.dtype[Any]
    specs: tuple[TensorSpec, ...]
    pick: dict[Any, Callable[[Any], Any]]

    def columns(self, rows: list[Any], kind: Any) -> Tensors:
        picked = rows if kind not in self.pick else list(map(self.pick[kind], rows))
        values = np.array(picked, dtype=self.dtype).reshape(len(rows), len(self.specs))
        columns = np.ascontiguousarray(values.T)
        pairs = zip(self.specs, columns, strict=True)
        return {spec.name: column if len(spec.shape) == 1 else column[:, None] for spec, column in pairs}


def _table(specs: tuple[TensorSpec, ...]) -> Quick:
    record = _record((spec.name, _kind(spec)) for spec in specs)
    row: Any = tuple.__class_getitem__(tuple(_kind(spec) for spec in specs))
    lone = len(specs) == 1
    # Never a fixed tuple beside a number with bounds: msgspec 0.22 takes the bound for the tuple's
    # length, and reads past its end. A row of one value in brackets goes the careful way.
    any_row = record | _kind(specs[0]) if lone else record | row
    groups = tuple(_groups(specs, record))
    layout = [(spec.name, spec.dtype, len(spec.shape)) for spec in specs]
    pick = attrgetter(*(f"f{at}" for at in range(len(specs))))

    def one_row(row: Any, kind: Any) -> Tensors:
        values = pick(row) if kind is record else row
        if lone:
            values = (values,)
        pairs = zip(layout, values, strict=True)
        return {name: np.array(value, dtype, ndmin=rank) for (name, dtype, rank), value in pairs}

    def tensors(value: Any) -> Tensors | None:
        rows = value if type(value) is list else [value]
        kind = _one_type(rows)
        if kind is None or (kind not in (record, tuple) and not lone):
            return None
        if len(rows) == 1:
            return one_row(rows[0], kind)
        found: Tensors = {}
        for group in groups:
            found.update(group.columns(rows, kind))
        return {name: found[name] for name, _, _ in layout}

    top = list[any_row] | record  # type: ignore[valid-type]
    return Quick(top | _kind(specs[0]) if lone else top, tensors)


def _groups(specs: tuple[TensorSpec, ...], record: Any) -> Iterable[_Group]:
    for dtype in dict.fromkeys(spec.dtype for spec in specs):
        places = [at for at, spec in enumerate(specs) if spec.dtype == dtype]
        pick: dict[Any, Callable[[Any], Any]] = {
            record: attrgetter(*(f"f{at}" for at in places)),
            tuple: itemgetter(*places),
        }
        yield _Group(dtype, tuple(specs[at] for at in places), pick)


# --- tensors ---------------------------------------------------------------------------------


def _matrix(spec: TensorSpec) -> Quick:
    kind, width = _kind(spec), spec.shape[1]
    record = _record((name, kind) for name in spec.columns) if spec.columns else None
    names = [f"f{at}" for at in range(len(spec.columns))]
    pick = attrgetter(*names) if len(names) > 1 else lambda row: (row.f0,)
    name, dtype = spec.name, spec.dtype

    def tensors(value: Any) -> Tensors | None:
        if type(value) is not list:
            value = [value]
        if not value:
            return None
        first = _one_type(value)
        if first is list:
            array = np.array(value, dtype=dtype)
        elif record is not None and first is record:
            array = np.array(list(map(pick, value)), dtype=dtype)
        elif width != 1 and _all_scalars(value):  # one row, without its brackets
            array = np.array([value], dtype=dtype)
        else:
            return None
        good = array.ndim == 2 and (array.shape[1] == width or width < 0 < array.shape[1])
        return {name: array} if good else None

    if record is None:
        return Quick(list[list[kind] | kind], tensors)  # type: ignore[valid-type]
    return Quick(list[list[kind] | record | kind] | record, tensors)  # type: ignore[valid-type]


def _vector(spec: TensorSpec) -> Quick:
    def tensors(value: Any) -> Tensors | None:
        array = np.array(value if type(value) is list else [value], dtype=spec.dtype)
        return {spec.name: array} if has_shape(array, spec.shape) and len(array) else None

    return Quick(list[_kind(spec)] | _kind(spec), tensors)  # type: ignore[misc]


def _tensor(spec: TensorSpec) -> Quick:
    def tensors(value: Any) -> Tensors | None:
        array = np.array(value, dtype=spec.dtype)
        return {spec.name: array} if has_shape(array, spec.shape) and array.size else None

    return Quick(nested(_kind(spec), len(spec.shape)), tensors)


def _named(signature: Signature) -> Quick:
    specs = signature.inputs
    record = _record((spec.name, nested(_kind(spec), len(spec.shape))) for spec in specs)

    def tensors(value: Any) -> Tensors | None:
        found = {}
        for at, spec in enumerate(specs):
            array = found[spec.name] = np.array(getattr(value, f"f{at}"), dtype=spec.dtype)
            if not has_shape(array, spec.shape) or not array.size:
                return None
        if signature.batch_axis and len({len(array) for array in found.values()}) > 1:
            return None
        return found

    return Quick(record, tensors)
