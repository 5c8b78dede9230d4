"""Find out by trying whether a model's rows are independent of each other.

A free first axis is not proof of that: a model may normalise over it, scan it as time, or
quantise with the range of all that came in. Joining its requests would change their answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import numpy as np

from prism_core.plugin import TensorSpec

Arrays = Mapping[str, Any]
Compute = Callable[[Arrays], Sequence[Any]]

_ROWS = 4
# Values of different size, so that a range or a mean over rows shows.
_SCALES = np.array([1.0, 3.0, 10.0, 0.1])
# Tried in turn for axes that are free: small, then what convolutional nets need.
_SIZES = (3, 32, 224)
# Other kernels for other batch sizes round differently; half precision has 11 bits.
_TOLERANCE = {np.dtype(np.float16): 2e-2, np.dtype(np.float32): 1e-3, np.dtype(np.float64): 1e-6}


@attrs.frozen
class Trial:
    """What came of it: an input that the model accepts, if any, and why rows may not be joined, or ""."""

    example: Arrays | None
    objection: str
    random: bool = False
    answers: Sequence[Any] = ()


def try_rows(specs: Sequence[TensorSpec], compute: Compute) -> Trial:
    """Compute some rows together and apart, and compare."""
    found = _first_accepted(specs, compute, rows=_ROWS)
    if found is None:
        return Trial(None, "the trial inputs were not accepted")
    rows, together = found
    first, rest = (
        {name: tensor[part] for name, tensor in rows.items()} for part in (slice(1), slice(1, None))
    )
    try:
        apart = [(compute(first), 0, 1), (compute(rest), 1, _ROWS)]
        again = compute(rows)
    except Exception:  # whatever the model has against it
        return Trial(rows, "it does not accept every number of rows", answers=together)
    if not _same(together, again):
        return Trial(first, "it answers equal inputs differently", random=True, answers=together)
    if not all(_has_rows(one) for one in together):
        return Trial(first, "not every output has a row for each row of input", answers=together)
    if not all(_same([one[i:j] for one in together], some) for some, i, j in apart):
        return Trial(first, "a row's answer depends on the other rows", answers=together)
    if all(_says_nothing(one) for one in together):
        return Trial(first, "the trial inputs led to no numbers", answers=together)
    return Trial(first, "", answers=together)


def accepted(specs: Sequence[TensorSpec], compute: Compute) -> Arrays | None:
    """Return a small input that the model accepts, or None."""
    found = _first_accepted(specs, compute, rows=0)
    return found[0] if found else None


def answers_alike(example: Arrays, compute: Compute) -> bool:
    """Compute ``example`` twice, and compare."""
    try:
        return _same(compute(example), compute(example))
    except Exception:  # only what the model answers can differ
        return True


def _first_accepted(
    specs: Sequence[TensorSpec], compute: Compute, rows: int
) -> tuple[Arrays, Sequence[Any]] | None:
    for size in _SIZES:
        generator = np.random.default_rng(0)
        tensors = {spec.name: _plausible(generator, spec, size, rows) for spec in specs}
        try:
            return tensors, compute(tensors)
        except Exception:
            if all(-1 not in spec.shape[1 if rows else 0 :] for spec in specs):
                return None
    return None


def _plausible(
    generator: np.random.Generator, spec: TensorSpec, size: int, rows: int
) -> np.ndarray[Any, Any]:
    shape = [size if axis < 0 else axis for axis in spec.shape]
    if rows:
        shape[0] = rows
    if spec.datatype == "BYTES":
        return generator.choice(np.array(["", "a", "b", "1"], dtype=object), shape)
    if spec.dtype.kind == "f":
        values = generator.standard_normal(shape)
        scales = np.resize(_SCALES, rows).reshape(-1, *[1] * (len(shape) - 1)) if rows else 1.0
        return (values * scales).astype(spec.dtype)
    # Whole numbers are often positions in a table: only the first two are sure to exist.
    return generator.integers(0, 2, shape).astype(spec.dtype)


def _has_rows(values: Any) -> bool:
    return np.ndim(values) > 0 and len(values) == _ROWS


def _same(some: Sequence[Any], others: Sequence[Any]) -> bool:
    return all(_close(one, other) for one, other in zip(some, others, strict=True))


def _close(one: Any, other: Any) -> bool:
    if not isinstance(one, np.ndarray) or one.dtype.kind != "f":
        return _equal(one, other)
    if one.shape != np.shape(other):
        return False
    tolerance = _TOLERANCE[one.dtype]
    finite = np.abs(one[np.isfinite(one)].astype(np.float64))
    largest = float(finite.max()) if finite.size else 0.0
    return bool(np.allclose(one, other, rtol=tolerance, atol=tolerance * largest / 10, equal_nan=True))


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray):
        return one.shape == np.shape(other) and bool(np.all(one == other))
    if isinstance(one, list):
        return len(one) == len(other) and all(_equal(a, b) for a, b in zip(one, other, strict=True))
    return bool(one == other)


def _says_nothing(values: Any) -> bool:
    return isinstance(values, np.ndarray) and values.dtype.kind == "f" and not np.isfinite(values).any()
