"""Data in the protocol's forms: JSON nested or flat, and raw bytes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np

from prism_oip.conformance.exchange import Unmet

# The protocol's datatypes; BF16 has no type in numpy and is kept as float32.
DATATYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    **{f"UINT{8 * size}": np.dtype(f"<u{size}") for size in (1, 2, 4, 8)},
    **{f"INT{8 * size}": np.dtype(f"<i{size}") for size in (1, 2, 4, 8)},
    "FP16": np.dtype("<f2"),
    "BF16": np.dtype("<f4"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "BYTES": np.dtype("O"),
}
# Two answers with the same inputs may differ in rounding: what of a number's size they may differ by.
ROUNDING = {"FP16": 1e-2, "BF16": 5e-2, "FP32": 1e-5, "FP64": 1e-9}
# There is no agreed way to write these in JSON, the protocol says.
NOT_IN_JSON = frozenset({"FP16", "BF16"})


@attrs.frozen
class Spec:
    """A tensor as a model's metadata tells it; -1 is any size.

    ``on_request``: its parameters say that it comes only where a request names it.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    on_request: bool = False


@attrs.frozen(eq=False)
class Tensor:
    """A tensor with its data; ``values`` has its shape, and for BYTES holds bytes."""

    name: str
    datatype: str
    values: np.ndarray[Any, Any]

    @property
    def shape(self) -> tuple[int, ...]:
        """Its sizes."""
        return tuple(self.values.shape)

    def listed(self, *, nested: bool = False) -> list[Any]:
        """Return the data as JSON has it."""
        values = self.values if nested else self.values.ravel()
        return _text(values.tolist()) if self.datatype == "BYTES" else list(values.tolist())

    def repeated(self, times: int) -> Tensor:
        """Return it several times, one behind the other along its first axis."""
        return Tensor(self.name, self.datatype, np.concatenate([self.values] * times))

    def raw(self) -> bytes:
        """Return the data as the binary extension and gRPC's raw contents have it."""
        if self.datatype == "BYTES":
            return b"".join(len(one).to_bytes(4, "little") + one for one in self.values.ravel())
        if self.datatype == "BF16":
            return (np.ascontiguousarray(self.values).view("<u4") >> 16).astype("<u2").tobytes()
        return self.values.tobytes()


def _text(value: Any) -> Any:
    if isinstance(value, list):
        return [_text(one) for one in value]
    return value.decode("utf-8", "replace")


def made(spec: Spec, *, free: int = 1, plain: bool = False) -> Tensor:
    """Return a tensor that fits a spec: small numbers, each size that may be any is ``free``.

    ``plain`` makes all elements alike, for models that take few values.
    """
    shape = tuple(free if size < 0 else size for size in spec.shape)
    count = math.prod(shape)
    steps = np.full(count, 1) if plain else np.arange(count) % 5 + 1
    if spec.datatype == "BYTES":
        values = np.array([f"{step}".encode() for step in steps], object)
    elif spec.datatype.startswith(("FP", "BF")):
        values = (steps * 0.5).astype(DATATYPES[spec.datatype])
    else:
        values = (steps % 2 if spec.datatype == "BOOL" else steps).astype(DATATYPES[spec.datatype])
    return Tensor(spec.name, spec.datatype, values.reshape(shape))


def from_list(name: str, datatype: str, shape: Sequence[int], data: Any) -> Tensor:
    """Return the tensor that JSON tells, nested or flat."""
    flat = _flattened(data, len(shape))
    if len(flat) != math.prod(shape):
        raise Unmet(
            f"{math.prod(shape)} elements in {name!r}, as its shape {list(shape)} says", str(len(flat))
        )
    if not all(_holds(datatype, one) for one in flat):
        raise Unmet(f"elements of {name!r} that {datatype} can hold", _short(data))
    if datatype == "BYTES":
        flat = [one.encode("utf-8", "surrogatepass") for one in flat]
    values = np.empty(len(flat), DATATYPES[datatype])
    with np.errstate(over="ignore"):
        values[:] = flat
    return Tensor(name, datatype, values.reshape(tuple(shape)))


def _holds(datatype: str, element: Any) -> bool:
    if datatype == "BYTES":
        return isinstance(element, str)
    if datatype == "BOOL":
        return isinstance(element, bool) or element in (0, 1)
    if datatype.startswith(("FP", "BF")):
        return isinstance(element, int | float) and abs(element) < 2**1024
    info = np.iinfo(DATATYPES[datatype])
    return isinstance(element, int) and info.min <= element <= info.max


def _flattened(data: Any, depth: int) -> list[Any]:
    if not isinstance(data, list):
        raise Unmet("tensor data as a JSON array", _short(data))
    flat: list[Any] = data
    while depth > 1 and flat and isinstance(flat[0], list):
        if not all(isinstance(one, list) for one in flat):
            raise Unmet("tensor data nested evenly, or flat", _short(data))
        flat = [element for one in flat for element in one]
        depth -= 1
    return flat


def from_raw(name: str, datatype: str, shape: Sequence[int], data: bytes) -> Tensor:
    """Return the tensor that raw bytes tell."""
    if datatype == "BYTES":
        return Tensor(name, datatype, _elements(name, shape, data))
    size = 2 if datatype == "BF16" else DATATYPES[datatype].itemsize
    if len(data) != math.prod(shape) * size:
        raise Unmet(f"{math.prod(shape) * size} bytes of {name!r}, {datatype} {list(shape)}", str(len(data)))
    if datatype == "BF16":
        values = (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")
    else:
        values = np.frombuffer(data, DATATYPES[datatype])
    return Tensor(name, datatype, values.reshape(tuple(shape)))


def _elements(name: str, shape: Sequence[int], data: bytes) -> np.ndarray[Any, Any]:
    found: list[bytes] = []
    at = 0
    while at + 4 <= len(data):
        size = int.from_bytes(data[at : at + 4], "little")
        found.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    if at != len(data) or len(found) != math.prod(shape):
        wanted = f"{math.prod(shape)} elements of {name!r}, each with its length before it, and no byte more"
        raise Unmet(wanted, f"{len(found)} elements in {len(data)} bytes")
    values = np.empty(len(found), object)
    values[:] = found
    return values.reshape(tuple(shape))


def differ(one: Tensor, other: Tensor) -> str:
    """Return how two tensors differ, beyond rounding; "" if they do not."""
    if (one.datatype, one.shape) != (other.datatype, other.shape):
        return f"{one.name}: {one.datatype} {list(one.shape)}, and {other.datatype} {list(other.shape)}"
    if one.datatype in ROUNDING:
        with np.errstate(all="ignore"):
            near = np.allclose(one.values, other.values, ROUNDING[one.datatype], 1e-30, equal_nan=True)
    else:
        near = bool(np.array_equal(one.values, other.values))
    return "" if near else f"{one.name}: {_short(one.listed())}, and {_short(other.listed())}"


def _short(value: object, limit: int = 120) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[:limit] + " ..."
