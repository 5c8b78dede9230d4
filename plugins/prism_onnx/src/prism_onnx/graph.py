"""From the graph's declared inputs and outputs to a `Signature`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from prism_core.plugin import ArtifactError, Signature, TensorSpec
from prism_onnx.artifact import class_labels, declared_shape
from prism_onnx.narrow import NARROW, Narrow
from prism_onnx.ranges import with_ranges

Convert = Callable[[Any], Any]

_DATATYPES = {
    "float": "FP32", "double": "FP64", "float16": "FP16", "bool": "BOOL", "string": "BYTES",
    "int8": "INT8", "int16": "INT16", "int32": "INT32", "int64": "INT64",
    "uint8": "UINT8", "uint16": "UINT16", "uint32": "UINT32", "uint64": "UINT64",
}  # fmt: skip
_TENSOR = re.compile(r"tensor\((\w+)\)")
_SEQUENCE = re.compile(r"(?:optional\()?seq\(tensor\((\w+)\)\)\)?")
_MAPS = re.compile(r"seq\(map\(\w+,tensor\((\w+)\)\)\)")
# Converters number the axes whose names they do not know.
_NAMELESS = re.compile(r"unk__\d+")
# What the converters of scikit-learn's classifiers and clusterers call the predicted label.
_LABELS = ("label", "output_label")


@attrs.frozen
class Graph:
    """What a session declares.

    Parameters
    ----------
    signature
        Without a batch axis; that is for the caller to find out.
    sequences
        Inputs that are lists of tensors.
    writers
        What the values of an output must go through; most need nothing.
    narrow
        Inputs and outputs of element types that numpy does not have.
    free_rows
        Whether the first axis of every tensor is free, and as far as it has names the same.
    """

    signature: Signature
    sequences: tuple[str, ...]
    writers: Mapping[str, Convert]
    narrow: Mapping[str, Narrow]
    free_rows: bool


def describe(session: Any, path: Path) -> Graph:
    """Return what the graph takes and answers.

    Raises
    ------
    ArtifactError
        If it has a tensor of a kind that cannot be sent or answered.
    """
    writers: dict[str, Convert] = {}
    inputs = with_ranges([_input(arg, path) for arg in session.get_inputs()], path)
    outputs, classes = [], ()
    for arg in session.get_outputs():
        labels = class_labels(path, arg.name) if _MAPS.fullmatch(arg.type) or arg.name in _LABELS else ()
        classes = labels or classes
        outputs.append(_output(arg, labels, writers))
    label = next((spec.name for spec in outputs if spec.name in _LABELS), "")
    signature = Signature(
        inputs=inputs,
        outputs=tuple(outputs),
        default_outputs=(label,) if label else (),
        batch_axis=False,
        classes=classes,
        primary=label,
    )
    sequences = tuple(arg.name for arg in session.get_inputs() if _SEQUENCE.fullmatch(arg.type))
    return Graph(signature, sequences, writers, _narrow(session), _free_rows(session))


def with_rows(signature: Signature) -> Signature:
    """Return the signature of the same graph with a batch axis.

    Several inputs of one column each are the columns of a table: a row may be a record.
    """
    columns = all(len(spec.shape) == 1 or spec.shape[1:] == (1,) for spec in signature.inputs)
    inputs = tuple(attrs.evolve(spec, shape=(-1, *spec.shape[1:])) for spec in signature.inputs)
    outputs = tuple(attrs.evolve(spec, shape=(-1, *spec.shape[1:])) for spec in signature.outputs)
    return attrs.evolve(
        signature, inputs=inputs, outputs=outputs, batch_axis=True, columnar=columns and len(inputs) > 1
    )


def _input(arg: Any, path: Path) -> TensorSpec:
    shape: Sequence[Any] | None = arg.shape
    sequence = _SEQUENCE.fullmatch(arg.type)
    if sequence or not shape:
        # onnxruntime shows no shape for scalars, for unknown ranks and for sequences alike.
        shape = declared_shape(path, arg.name)
    datatype = _datatype(arg, sequence or _TENSOR.fullmatch(arg.type), "input")
    if shape is None:
        raise ArtifactError(
            f"The model's input {arg.name!r} declares no shape, not even its number of axes.",
            hint="Set the input's shape when converting; free axes may stay free.",
        )
    return TensorSpec(arg.name, datatype, (*((-1,) if sequence else ()), *_sizes(shape)))


def _output(arg: Any, labels: tuple[Any, ...], writers: dict[str, Convert]) -> TensorSpec:
    maps = _MAPS.fullmatch(arg.type)
    sequence = _SEQUENCE.fullmatch(arg.type)
    datatype = _datatype(arg, maps or sequence or _TENSOR.fullmatch(arg.type), "output")
    if maps and labels:
        spec = TensorSpec(arg.name, datatype, (-1, len(labels)))
        writers[arg.name] = _matrix(labels, spec.dtype)
        return spec
    if maps or sequence:
        return TensorSpec(arg.name, datatype, (-1,))
    return TensorSpec(arg.name, datatype, _sizes(arg.shape))


def _datatype(arg: Any, match: re.Match[str] | None, role: str) -> str:
    if match and match[1] in _DATATYPES:
        return _DATATYPES[match[1]]
    if match and match[1] in NARROW and _TENSOR.fullmatch(arg.type):
        return NARROW[match[1]].datatype
    raise ArtifactError(
        f"The model's {role} {arg.name!r} is of type {arg.type}, which cannot be served.",
        hint=f"Convert the model so that its {role}s are tensors of {', '.join(sorted(_DATATYPES))}.",
    )


def _narrow(session: Any) -> dict[str, Narrow]:
    found = (
        (arg.name, _TENSOR.fullmatch(arg.type)) for arg in (*session.get_inputs(), *session.get_outputs())
    )
    return {name: NARROW[match[1]] for name, match in found if match and match[1] in NARROW}


def _matrix(labels: tuple[Any, ...], dtype: np.dtype[Any]) -> Convert:
    def convert(rows: list[dict[Any, float]]) -> np.ndarray[Any, Any]:
        values = [[row[label] for label in labels] for row in rows]
        return np.array(values, dtype).reshape(len(rows), len(labels))

    return convert


def _sizes(shape: Sequence[Any]) -> tuple[int, ...]:
    return tuple(size if isinstance(size, int) else -1 for size in shape)


def _free_rows(session: Any) -> bool:
    names = set()
    for arg in (*session.get_inputs(), *session.get_outputs()):
        if _MAPS.fullmatch(arg.type):
            continue
        if not _TENSOR.fullmatch(arg.type):
            return False
        # An output that shows no shape may still have rows: a trial tells.
        first = arg.shape[0] if arg.shape else None
        if isinstance(first, int) or (not arg.shape and arg in session.get_inputs()):
            return False
        if first is not None and not _NAMELESS.fullmatch(first):
            names.add(first)
    return len(names) <= 1 and bool(session.get_inputs())
