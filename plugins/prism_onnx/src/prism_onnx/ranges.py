"""Between which numbers a graph of classical machine learning was trained, or splits.

Read are a scaler and an ensemble of trees that get the graph's inputs as they are: directly, or joined
by ``Concat`` and filled by ``Imputer``, as converters write column pipelines. Bounded, never an error.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import attrs

from prism_core.plugin import TensorSpec, told_ranges
from prism_onnx.artifact import first_nodes
from prism_onnx.protobuf import BYTES, FIXED32, VARINT, Field, MalformedProtobuf, fields, varints

Range = tuple[float, float]
# Where a number of a request stands: its input and the place on that's last axis.
Spot = tuple[str, int]

# Pipelines of converters have a dozen; a deep network has no scaler behind its first layers.
_MAX_NODES = 64
# Nodes of trees that are looked at: 1 ms.
_MAX_SPLITS = 512
# As a scaler is fitted to mean and deviation, this holds 99.7 % of what is normally distributed.
_DEVIATIONS = 3.0
_SAME = ("Cast", "Identity", "Imputer")


@attrs.frozen
class Node:
    """One node of a graph: where its attributes lie in the file, by name."""

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, tuple[int, int]]


def with_ranges(inputs: Sequence[TensorSpec], path: Path) -> tuple[TensorSpec, ...]:
    """Return the inputs with the ranges of their numbers, where the graph tells them."""
    known: dict[Spot, Range] = {}
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            _learn(data, inputs, known)
    except (MalformedProtobuf, LookupError, ValueError, struct.error):  # an odd graph tells nothing more
        pass
    return tuple(_told(spec, known) for spec in inputs)


def _told(spec: TensorSpec, known: Mapping[Spot, Range]) -> TensorSpec:
    width = _width(spec)
    own = {place: known[spec.name, place] for place in range(width) if (spec.name, place) in known}
    return attrs.evolve(spec, ranges=told_ranges(own, width)) if own else spec


def _width(spec: TensorSpec) -> int:
    """Return how many numbers a row of an input has; 0 for what is no row of numbers."""
    if spec.datatype in ("BOOL", "BYTES") or len(spec.shape) > 2:
        return 0
    return max(0, spec.shape[1]) if len(spec.shape) == 2 else 1


def _learn(data: mmap.mmap, inputs: Sequence[TensorSpec], known: dict[Spot, Range]) -> None:
    """Follow the inputs through the first nodes; what is told first of a number has the word."""
    columns = {spec.name: [(spec.name, place) for place in range(_width(spec))] for spec in inputs}
    for span in islice(first_nodes(data), _MAX_NODES):
        node = _node(data, *span)
        spots = columns.get(node.inputs[0], []) if node.inputs else []
        if node.kind == "Concat" and all(name in columns for name in node.inputs):
            columns[node.outputs[0]] = [spot for name in node.inputs for spot in columns[name]]
        elif node.kind in _SAME and spots:
            columns[node.outputs[0]] = spots
        elif node.kind == "Scaler" and spots:
            _keep(known, spots, _scaled(data, node))
        elif node.kind in ("TreeEnsembleClassifier", "TreeEnsembleRegressor") and spots:
            _keep(known, spots, _split(data, node, len(spots)))


def _keep(known: dict[Spot, Range], spots: Sequence[Spot], told: Sequence[Range | None]) -> None:
    for spot, one in zip(spots, told, strict=False):
        if one:
            known.setdefault(spot, one)


def _scaled(data: mmap.mmap, node: Node) -> list[Range | None]:
    offsets, scales = (_floats(data, node.attributes[name]) for name in ("offset", "scale"))
    pairs = zip(offsets, scales * len(offsets) if len(scales) == 1 else scales, strict=True)
    return [(o - _DEVIATIONS / abs(s), o + _DEVIATIONS / abs(s)) if s else None for o, s in pairs]


def _split(data: mmap.mmap, node: Node, width: int) -> list[Range | None]:
    """Return the outermost thresholds of each feature; leaves have one too, which means nothing."""
    found: dict[int, list[float]] = {}
    features = islice(_integers(data, node.attributes["nodes_featureids"]), _MAX_SPLITS)
    for feature, value, mode in zip(
        features,
        _floats(data, node.attributes["nodes_values"], _MAX_SPLITS),
        _texts(data, node.attributes["nodes_modes"]),
        strict=False,
    ):
        if mode != b"LEAF":
            found.setdefault(feature, []).append(value)
    return [(min(found[i]), max(found[i])) if i in found else None for i in range(width)]


# --- the file ----------------------------------------------------------------------------------


def _node(data: mmap.mmap, start: int, stop: int) -> Node:
    texts: dict[int, list[str]] = {1: [], 2: [], 4: [""]}
    attributes = {}
    for field in fields(data, start, stop):
        if field.wire == BYTES and field.number in texts:
            texts[field.number].append(_text(data, field).decode("utf-8", "replace"))
        elif field.wire == BYTES and field.number == 5:
            name = next(fields(data, field.start, field.stop))
            attributes[_text(data, name).decode("utf-8", "replace")] = (field.start, field.stop)
    return Node(texts[4][-1], tuple(texts[1]), tuple(texts[2]), attributes)


def _text(data: mmap.mmap, field: Field) -> bytes:
    return data[field.start : field.stop]


def _floats(data: mmap.mmap, span: tuple[int, int], most: int = 1 << 16) -> list[float]:
    """Return an attribute's floats, which are packed or one by one."""
    found: list[float] = []
    for field in fields(data, *span):
        if field.number == 7 and field.wire in (BYTES, FIXED32):
            count = min((field.stop - field.start) // 4, most - len(found))
            found += struct.unpack_from(f"<{count}f", data, field.start)
        if len(found) >= most:
            break
    return found


def _integers(data: mmap.mmap, span: tuple[int, int]) -> Iterator[int]:
    for field in fields(data, *span):
        if field.number == 8 and field.wire == VARINT:
            yield field.value
        elif field.number == 8 and field.wire == BYTES:
            yield from varints(data, field.start, field.stop)


def _texts(data: mmap.mmap, span: tuple[int, int]) -> Iterator[bytes]:
    return (_text(data, f) for f in fields(data, *span) if f.number == 9 and f.wire == BYTES)
