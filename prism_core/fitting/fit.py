"""Arrange arrays as the signature expects them; shared by every media type that carries arrays.

Casts are lossless or refused: an array of doubles may fill an integer tensor when every
value is whole and in range. Rounding to a shorter float is no loss in this sense (0.1 has
no exact double either), becoming infinite is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from prism_core.errors import InvalidInput
from prism_core.filling import LARGE_BYTES
from prism_core.fitting.faults import REPORTED, Faults, check_names, expected, listed, only_input, quote
from prism_core.fitting.values import EXACT, Place, has_shape
from prism_core.types import Batch, Signature, TensorSpec

Array = np.ndarray[Any, Any]

STRINGS = np.dtype(object)


def fit(
    arrays: Mapping[str, Array],
    signature: Signature,
    outputs: tuple[str, ...] = (),
    parameters: Mapping[str, Any] | None = None,
    reply: Any = None,
) -> Batch:
    """Arrange ``arrays`` as the model expects them.

    A single row may omit the batch axis: shape ``(features,)`` becomes ``(1, features)``.

    Raises
    ------
    InvalidInput
        If a name, rank, length, type or value does not fit; every one of them is listed.
    """
    faults = Faults()
    specs = signature.inputs
    if len(arrays) != len(specs) or any([spec.name not in arrays for spec in specs]):
        check_names(arrays, [spec.name for spec in specs], faults)
        faults.check()
    tensors, misshaped = {}, []
    for spec in specs:
        array = arrays[spec.name]
        if array.ndim != len(spec.shape):
            array = to_rank(array, spec, signature.batch_axis)
        if has_shape(array, spec.shape):
            tensors[spec.name] = _cast(array, spec, signature, faults)
        else:
            misshaped.append(misshapen(array, spec))
    if misshaped:
        _raise(misshaped)
    if faults.count:
        faults.check()
    return finish(tensors, signature, outputs, parameters, reply)


def _raise(wrong: list[InvalidInput]) -> None:
    if len(wrong) > 1:
        details = {"errors": [error.details for error in wrong[:REPORTED]], "count": len(wrong)}
        message = f"{wrong[0].message[:-1]} ({len(wrong)} faults in all)."
        raise InvalidInput(message, hint=wrong[0].hint, details=details)
    raise wrong[0]


def _cast(array: Array, spec: TensorSpec, signature: Signature, faults: Faults) -> Array:
    dtype = array.dtype
    columnar_floats = signature.columnar and dtype.kind == "f" and not spec.nullable
    if dtype == spec.dtype and dtype.kind != "O" and not columnar_floats:
        return _lying_well(array)
    place = placer(spec, signature)
    done = cast(array, spec, faults, place)
    if columnar_floats:
        # In a column NaN means "missing"; in any other tensor it is a value like all others.
        _note(np.isnan(array), array, spec, faults, place)
    return done


def fit_only(array: Array, signature: Signature, what: str) -> Batch:
    """Arrange the one nameless ``array`` that a body holds.

    A structured array's fields, or the last axis of a matrix in order, become the columns
    of a columnar model. ``what`` names the kind of body in messages.
    """
    if array.dtype.names:
        return fit(_fields(array, signature), signature)
    if not signature.columnar or len(signature.inputs) == 1:
        return fit({only_input(signature, what).name: array}, signature)
    names = [spec.name for spec in signature.inputs]
    table = array[None, :] if array.ndim == 1 else array
    if table.ndim != 2 or table.shape[1] != len(names):
        raise InvalidInput(
            f"The array has shape {array.shape}, the model expects {len(names)} columns: {listed(names)}.",
            hint="GET /model/NAME shows the full signature.",
        )
    return fit({name: table[:, at] for at, name in enumerate(names)}, signature)


def _fields(array: Array, signature: Signature) -> dict[str, Array]:
    assert array.dtype.names
    columns = {name: np.ascontiguousarray(array[name]) for name in array.dtype.names}
    spec = signature.inputs[0]
    if signature.columnar or len(signature.inputs) > 1 or not spec.columns:
        return columns
    faults = Faults()
    check_names(columns, spec.columns, faults)
    faults.check()
    parts = [cast(columns[name], spec, faults, column_place(name)) for name in spec.columns]
    faults.check()
    return {spec.name: np.stack(parts, axis=-1)}


def finish(
    tensors: Mapping[str, Any],
    signature: Signature,
    outputs: tuple[str, ...] = (),
    parameters: Mapping[str, Any] | None = None,
    reply: Any = None,
) -> Batch:
    """Make the batch of tensors that fit one by one; they must agree on the number of rows.

    Raises
    ------
    InvalidInput
        If they do not, or if there are no rows.
    """
    if signature.batch_axis:
        lengths = {len(tensor) for tensor in tensors.values() if tensor.ndim}
        if len(lengths) > 1:
            shown = listed(f"{name} {len(tensor)}" for name, tensor in tensors.items() if tensor.ndim)
            raise InvalidInput(
                f"The inputs have different numbers of rows: {shown}.", hint="Send as many of each."
            )
        if 0 in lengths:
            raise InvalidInput("The request holds no rows.", hint="Send at least one row.")
    return Batch(tensors, outputs, parameters or {}, reply)


def stays(dtypes: Sequence[np.dtype[Any]], signature: Signature) -> bool:
    """Whether arrays of these types are the model's as they are: then a large body takes no longer."""
    wanted = {spec.dtype for spec in signature.inputs}
    return STRINGS not in wanted and wanted.issuperset(dtypes)


def to_rank(array: Array, spec: TensorSpec, batch_axis: bool) -> Array:
    """Add the batch axis that a single row omits, or add or drop the last axis of a lone column."""
    rank = len(spec.shape)
    if not batch_axis or array.ndim == rank:
        return array
    if array.ndim == 1 and rank == 2 and spec.shape[1] == 1:
        return array[:, None]
    if array.ndim == 2 and rank == 1 and array.shape[1] == 1:
        return array[:, 0]
    return array[None] if array.ndim == rank - 1 else array


def check_shape(array: Array, spec: TensorSpec) -> None:
    """Raise `InvalidInput` with both sides if the array's shape is not the tensor's."""
    if not has_shape(array, spec.shape):
        raise misshapen(array, spec)


def misshapen(array: Array, spec: TensorSpec) -> InvalidInput:
    """Return the error, with both sides, of an array whose shape is not the tensor's."""
    return InvalidInput(
        f"Input {spec.name!r} has shape {array.shape}, the model expects {spec.shape}.",
        hint="-1 stands for any length. GET /model/NAME shows the full signature.",
        details={"input": spec.name, "expected": list(spec.shape), "got": list(array.shape)},
    )


def placer(spec: TensorSpec, signature: Signature) -> Place:
    """Return the function that names row and column of an index into ``spec``."""
    if signature.columnar:
        return column_place(spec.name)

    def place(index: tuple[int, ...]) -> tuple[int, str | int]:
        if len(index) == 2 and len(spec.shape) == 2:
            return index[0], spec.columns[index[1]] if index[1] < len(spec.columns) else index[1]
        rest = index[1:] if signature.batch_axis else index
        where = f"[{', '.join(map(str, rest))}]" if rest else ""
        return (index[0] if index else 0), spec.name + where

    return place


def column_place(name: str) -> Place:
    """Return the function that names the row of an index into the column ``name``."""
    return lambda index: (index[0] if index else 0, name)


def cast(array: Array, spec: TensorSpec, faults: Faults, place: Place) -> Array:
    """Return ``array`` as the tensor's type, an aligned array in native byte order.

    Values that would change are noted in ``faults``; what is returned then is worthless.
    """
    if spec.dtype.kind == "O":
        return _strings(array, spec, faults, place)
    if array.dtype == spec.dtype:
        return _lying_well(array)
    pair = array.dtype.kind + spec.dtype.kind
    if pair == "bb":
        return array.astype(spec.dtype)
    if pair[0] not in "iuf" or pair[1] not in "iuf":
        faults.add(*place((0,)), expected(spec), f"an array of {array.dtype}")
        return array
    array = array.astype(array.dtype.newbyteorder("="))
    with np.errstate(all="ignore"):
        done = array.astype(spec.dtype)
    _note(_changed(array, done), array, spec, faults, place)
    return done


def _lying_well(array: Array) -> Array:
    """Return an array where vector units may take it up.

    A view of a small body lies wherever the bytes before it end, and vector units add in another
    order there: the last bit of an answer would depend on the length of a request's head.
    """
    whole: Any = array if array.base is None else array.base  # in the end a memoryview, perhaps
    if isinstance(whole, np.ndarray) and whole.flags.owndata:
        return array
    return array if array.flags.aligned and array.nbytes >= LARGE_BYTES else array.copy(order="K")


def _changed(array: Array, done: Array) -> Array:
    """Return where a cast did more than rounding."""
    if done.dtype.kind == "f":
        bad: Array = np.isinf(done) & np.isfinite(array)
        if array.dtype.kind in "iu":
            bad |= _inexact(array)
        return bad
    info = np.iinfo(done.dtype)
    if array.dtype.kind in "iu":
        return _beyond(array, int(info.min), int(info.max))
    wide = array.astype(np.float64)
    # The upper bound as a double would round up to 2**63: compare below the next power of two.
    inside = (wide >= float(info.min)) & (wide < float(int(info.max) + 1))
    changed: Array = ~inside | (wide != np.rint(wide))
    return changed


def _beyond(array: Array, low: int, high: int) -> Array:
    own = np.iinfo(array.dtype)
    bad: Array = np.zeros(array.shape, dtype=bool)
    if own.min < low:
        bad |= array < low
    if own.max > high:
        bad |= array > high
    return bad


def _inexact(array: Array) -> Array:
    """Return where an integer has no double of its own."""
    bad = _beyond(array, -int(EXACT), int(EXACT))
    if bad.any():
        wide = array[bad].astype(np.float64)
        # What rounds up to the type's end, 2**63 or 2**64, would not come back as it was.
        back = np.where(wide < float(np.iinfo(array.dtype).max), wide, 0.0).astype(array.dtype)
        bad[bad] = back != array[bad]
    return bad


def _note(bad: Array, array: Array, spec: TensorSpec, faults: Faults, place: Place) -> None:
    if not bad.any():
        return
    found = np.argwhere(bad)
    for index in found[:REPORTED]:
        at = tuple(int(i) for i in index)
        faults.add(*place(at), expected(spec), quote(array[at]))
    faults.count += max(0, len(found) - REPORTED)


def _strings(array: Array, spec: TensorSpec, faults: Faults, place: Place) -> Array:
    if array.dtype.kind == "U":
        array = _text(array, spec)
    if array.dtype.kind != "O":
        faults.add(*place((0,)), expected(spec), f"an array of {array.dtype}")
        return array
    if set(map(type, array.flat)) <= ({str, type(None)} if spec.nullable else {str}):
        return array
    for at, value in np.ndenumerate(array):
        if not isinstance(value, str) and not (value is None and spec.nullable):
            faults.add(*place(at), expected(spec), quote(value))
    return array


def _text(array: Array, spec: TensorSpec) -> Array:
    """Return an array of fixed-width text as strings; its raw bytes may be no text at all."""
    try:
        strings = array.astype(object)
        "".join(strings.flat).encode()
    except (ValueError, SystemError):
        raise InvalidInput(f"Input {spec.name!r} holds text that is not Unicode.") from None
    return strings
