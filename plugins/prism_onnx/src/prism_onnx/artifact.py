"""Look at ONNX files without any framework, and without executing anything of them.

Field numbers and nesting are those of ``onnx.proto``, which only ever grows.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from prism_core.plugin import Artifact, ArtifactError, Limits
from prism_onnx.protobuf import BYTES, VARINT, Field, MalformedProtobuf, Readable, fields

# ModelProto: field number -> wire type.
_MODEL = {
    1: VARINT, 2: BYTES, 3: BYTES, 4: BYTES, 5: VARINT, 6: BYTES,
    7: BYTES, 8: BYTES, 14: BYTES, 20: BYTES, 25: BYTES, 26: BYTES,
}  # fmt: skip
_IR_VERSION, _GRAPH, _OPSET_IMPORT = 1, 7, 8
# Where tensors can hide: message -> field number -> message.
_NESTED = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
# TensorProto: where its data lies outside of the file.
_EXTERNAL = 13
_WHOLE = "Upload the whole directory: the .onnx file and every data file that was saved with it."
# What is walked: a model of a hundred thousand nodes has some two million fields. More would keep
# the server busy for minutes before it can say no.
_MAX_FIELDS = 20_000_000
_MAX_TOP_FIELDS = 1_000_000

Result = TypeVar("Result")


def recognises(artifact: Artifact) -> float:
    """Return how surely the artifact is an ONNX model, or a directory that holds one."""
    if artifact.path.is_dir():
        found = sorted(artifact.path.glob("*.onnx"))
        return 1.0 if any(is_model(path) for path in found) else 0.0
    if is_model(artifact.path):
        return 1.0
    # Nobody else will want a damaged .onnx; taking it means saying what is wrong with it.
    return 0.1 if artifact.suffix == ".onnx" else 0.0


def is_model(path: Path) -> bool:
    """Return whether the file is one whole ``ModelProto`` with a graph."""

    def check(data: mmap.mmap) -> bool:
        seen = set()
        for count, field in enumerate(fields(data, 0, len(data))):
            if _MODEL.get(field.number) != field.wire or count > _MAX_TOP_FIELDS:
                return False
            seen.add(field.number)
        return {_IR_VERSION, _GRAPH} <= seen

    # Every model begins with its IR version; this spares nearly all other files the walk.
    with path.open("rb") as file:
        if file.read(1) != b"\x08":
            return False
    try:
        return _mapped(path, check)
    except MalformedProtobuf:
        return False


def model_file(artifact: Artifact) -> Path:
    """Return the ``.onnx`` file of the artifact, after a look at the files that it refers to.

    Raises
    ------
    ArtifactError
        If there is none or more than one, if it is damaged, or if its external data is
        not there or outside of the artifact.
    """
    path = _choose(artifact.path) if artifact.path.is_dir() else artifact.path
    name = path.name if artifact.path.is_dir() else artifact.name
    not_whole = ArtifactError(
        f"{name!r} is not a whole ONNX model.",
        hint="Was it copied completely? `onnx.checker.check_model` says more.",
    )
    if not is_model(path):
        raise not_whole
    try:
        kept = external_data(path, artifact.limits.max_depth)
    except MalformedProtobuf:
        raise not_whole from None
    if kept and not artifact.path.is_dir():
        raise ArtifactError(
            f"{name!r} keeps its weights in another file, {kept[0].location!r}, "
            "which is not part of the upload.",
            hint="Put both into one directory and upload that: prism upload DIRECTORY.",
        )
    for one in kept:
        _check_external(artifact.path, path.parent, one)
    return path


def _choose(directory: Path) -> Path:
    found = sorted(path for path in directory.glob("*.onnx") if path.is_file())
    if len(found) == 1:
        return found[0]
    for path in found:
        if path.name == "model.onnx":
            return path
    names = ", ".join(path.name for path in found) or "none"
    raise ArtifactError(
        f"The directory must hold exactly one .onnx file, or one called model.onnx; it holds {names}.",
        hint="Keep the one to be served at the top of the directory, with its data files beside it.",
    )


def _check_external(root: Path, base: Path, kept: External) -> None:
    shown = repr(kept.location[:100])
    try:
        # onnxruntime writes "*/_ORT_..." for tensors that lie at an address in its own memory.
        target = (base / kept.location).resolve()
        inside = target.is_relative_to(root.resolve()) and not kept.location.startswith("*/_ORT_")
        size = target.stat().st_size if inside and target.is_file() else -1
    except (OSError, ValueError):  # no name that a file could have
        inside, size = True, -1
    if not inside:
        raise ArtifactError(
            f"The model's external data {shown} lies outside of the model's directory.",
            hint="Save the model again with its data files beside it.",
        )
    if size < 0:
        raise ArtifactError(f"The model's external data {shown} is missing.", hint=_WHOLE)
    if kept.end > size:
        raise ArtifactError(
            f"The model's external data {shown} has {size} bytes; a tensor lies beyond them.", hint=_WHOLE
        )


def external_data(path: Path, max_depth: int = Limits().max_depth) -> tuple[External, ...]:
    """Return where tensors are kept outside of the file, each place once.

    Raises
    ------
    ArtifactError
        If the file is nested deeper than ``max_depth``, has too many fields, or keeps a tensor
        nowhere.
    """

    def look(data: mmap.mmap) -> tuple[External, ...]:
        if data.find(b"location") < 0:
            return ()
        walk = _Walk(max_depth)
        tensors = walk.messages(data, "model", 0, len(data), "tensor")
        return tuple(dict.fromkeys(one for span in tensors for one in _external(data, walk, *span)))

    return _mapped(path, look)


class External(NamedTuple):
    """Where a tensor lies: in which file, and behind which byte nothing of it does, as far as it is said."""

    location: str
    end: int


def _external(data: mmap.mmap, walk: _Walk, start: int, stop: int) -> Iterator[External]:
    """Yield every place that a tensor names: which of two counts is for others to decide."""
    entries = (f for f in walk.fields(data, start, stop) if f.number == _EXTERNAL and f.wire == BYTES)
    said = [_entry(data, f.start, f.stop) for f in entries]
    locations = [value for key, value in said if key == "location"]
    if not locations:
        return
    numbers = {name: [value for key, value in said if key == name] for name in ("offset", "length")}
    if not all(_is_size(value) for values in numbers.values() for value in values):
        raise ArtifactError(
            f"The model's external data {locations[0][:100]!r} has no proper offset and length.", hint=_WHOLE
        )
    end = sum(max(map(int, values), default=0) for values in numbers.values())
    for location in locations:
        yield External(location, end)


def _is_size(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 20


def first_nodes(data: Readable) -> Iterator[tuple[int, int]]:
    """Yield where the graph's nodes lie in a mapped model, in their order."""
    for graph in _children(data, _GRAPH, 0, len(data)):
        yield from _children(data, 1, *graph)


def class_labels(path: Path, output: str) -> tuple[Any, ...]:
    """Return the labels that the node behind ``output`` was given as ``classlabels_*``, or ()."""

    def look(data: mmap.mmap) -> tuple[Any, ...]:
        wanted = output.encode()
        for graph in _children(data, _GRAPH, 0, len(data)):
            for node in _children(data, 1, *graph):
                if wanted in _texts(data, 2, *node):
                    return _labels(data, *node)
        return ()

    return _mapped(path, look)


def declared_shape(path: Path, name: str) -> tuple[int | str | None, ...] | None:
    """Return the declared shape of input ``name``, or None; of a sequence the shape of its elements."""

    def look(data: mmap.mmap) -> tuple[int | str | None, ...] | None:
        wanted = name.encode()
        for graph in _children(data, _GRAPH, 0, len(data)):
            for value in _children(data, 11, *graph):
                if _texts(data, 1, *value) == [wanted]:
                    kind = next(_children(data, 2, *value), None)
                    return _type_shape(data, *kind) if kind else None
        return None

    return _mapped(path, look)


def versions(path: Path) -> tuple[int, dict[str, int]]:
    """Return a model's IR version, and by domain the operator set that it imports."""

    def look(data: mmap.mmap) -> tuple[int, dict[str, int]]:
        ir = next(f.value for f in fields(data, 0, len(data)) if f.number == _IR_VERSION)
        imports: dict[str, int] = {}
        for span in _children(data, _OPSET_IMPORT, 0, len(data)):
            found = {f.number: f for f in fields(data, *span)}
            domain = _text(data, found[1]) if 1 in found else ""
            imports[domain] = found[2].value if 2 in found else 0
        return ir, imports

    return _mapped(path, look)


def _type_shape(data: mmap.mmap, start: int, stop: int) -> tuple[int | str | None, ...] | None:
    # A TypeProto is a tensor (1), or the sequence (4) or the option (9) of one.
    for field in fields(data, start, stop):
        if field.number == 1:
            shape = next(_children(data, 2, field.start, field.stop), None)
            return _dimensions(data, *shape) if shape else None
        if field.number in (4, 9):
            inner = next(_children(data, 1, field.start, field.stop), None)
            return _type_shape(data, *inner) if inner else None
    return None


def _dimensions(data: mmap.mmap, start: int, stop: int) -> tuple[int | str | None, ...]:
    sizes: list[int | str | None] = []
    for dimension in _children(data, 1, start, stop):
        found = {f.number: f for f in fields(data, *dimension)}
        name = found.get(2)
        sizes.append(found[1].value if 1 in found else _text(data, name) if name else None)
    return tuple(sizes)


def _children(data: Readable, number: int, start: int, stop: int) -> Iterator[tuple[int, int]]:
    return ((f.start, f.stop) for f in fields(data, start, stop) if f.number == number and f.wire == BYTES)


def _labels(data: mmap.mmap, start: int, stop: int) -> tuple[Any, ...]:
    for attribute in _children(data, 5, start, stop):
        parts = fields(data, *attribute)
        name = next(parts, None)
        if name is None or not data[name.start : name.stop].startswith(b"classlabels_"):
            continue
        rest = list(parts)
        return tuple(
            [_signed(f.value) for f in rest if f.number == 8 and f.wire == VARINT]
            or [_text(data, f) for f in rest if f.number == 9]
        )
    return ()


def _texts(data: mmap.mmap, number: int, start: int, stop: int) -> list[bytes]:
    return [data[slice(*span)] for span in _children(data, number, start, stop)]


def _text(data: mmap.mmap, field: Field) -> str:
    return data[field.start : field.stop].decode("utf-8", "replace")


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


class _Walk:
    """One walk through a model's messages, bounded in depth and in length."""

    def __init__(self, max_depth: int) -> None:
        self.max_depth = max_depth
        self.seen = 0

    def messages(
        self, data: Readable, kind: str, start: int, stop: int, wanted: str, depth: int = 1
    ) -> Iterator[tuple[int, int]]:
        """Yield where messages of the kind ``wanted`` lie."""
        if depth > self.max_depth:
            raise ArtifactError(
                f"The model's graphs are nested more than {self.max_depth} messages deep.",
                hint="Nest fewer subgraphs; limits.max_depth is the server's setting.",
            )
        if kind == wanted:
            yield start, stop
            return
        nested = _NESTED[kind]
        for field in self.fields(data, start, stop):
            inner = nested.get(field.number)
            if inner and field.wire == BYTES:
                yield from self.messages(data, inner, field.start, field.stop, wanted, depth + 1)

    def fields(self, data: Readable, start: int, stop: int) -> Iterator[Field]:
        """Yield the fields of a message, and count them."""
        for field in fields(data, start, stop):
            self.seen += 1
            if self.seen > _MAX_FIELDS:
                raise ArtifactError(
                    f"The model has more than {_MAX_FIELDS} fields.", hint="Save its weights as raw data."
                )
            yield field


def _entry(data: mmap.mmap, start: int, stop: int) -> tuple[str, str]:
    texts = {f.number: _text(data, f) for f in fields(data, start, stop)}
    return texts.get(1, ""), texts.get(2, "")


def _mapped(path: Path, look: Callable[[mmap.mmap], Result]) -> Result:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return look(data)
