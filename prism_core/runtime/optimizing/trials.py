"""Rows on which two forms of a model would differ, if they differed: pure functions of a signature.

Ordinary rows come from the example of the upload and from the signature. Then those at the
edges: missing values, what is not finite, unknown categories, and both sides of every jump
that bisection finds in the original's answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from prism_core.protocols import BaseModel
from prism_core.runtime.optimizing.proof import answers
from prism_core.types import Batch, Signature, TensorSpec

DRAWN = 512
PAIRS = 64
# Halvings until two rows are a billionth of their distance apart: nearer than float32 can tell,
# and still far enough from a border between sums of doubles not to be moved over it by rounding.
TO_A_JUMP = 30
# Where only the label changes, nothing but rounding says where: no nearer than this.
TO_A_BORDER = 16
# What is left of a slope after so many halvings is less than this part of the whole difference.
_SLOPE = 1e-6
_SIZES = np.array([0.1, 1.0, 10.0, 100.0, 1000.0])
_ODD_TEXTS = ("", "\x00 never seen")

Generator = np.random.Generator


def drawn(signature: Signature, generator: Generator, rows: int = DRAWN) -> Batch:
    """Return rows as the signature allows them: known categories, numbers of every magnitude, gaps."""
    return Batch({spec.name: _draw(spec, generator, rows) for spec in signature.inputs})


def like(example: Batch, generator: Generator, rows: int = DRAWN) -> Batch:
    """Return rows made of an example's: each column drawn by itself, every other number moved a little."""
    tensors = {}
    for name, values in example.tensors.items():
        chosen = values[generator.integers(0, example.rows, rows)]
        if chosen.dtype.kind == "f":
            spread = np.nanstd(values, axis=0) if example.rows > 1 else np.abs(values[0])
            moved = (
                generator.normal(size=chosen.shape)
                * spread
                * (np.arange(rows) % 2).reshape(-1, *[1] * (chosen.ndim - 1))
            )
            chosen = (chosen + moved).astype(chosen.dtype)
        tensors[name] = chosen
    return Batch(tensors)


def edges(signature: Signature, ordinary: Batch) -> Iterator[Batch]:
    """Yield single rows with one value that is missing, not finite, huge, or of an unknown category."""
    for spec in signature.inputs:
        for value in _odd_values(spec):
            tensors = {name: np.array(values[:1], copy=True) for name, values in ordinary.tensors.items()}
            tensors[spec.name].reshape(1, -1)[0, -1] = value
            yield Batch(tensors)


def jumps(model: BaseModel, ordinary: Batch, generator: Generator, pairs: int = PAIRS) -> Iterator[Batch]:
    """Yield both sides of the jumps that lie between pairs of rows.

    Between any two rows whose answers differ the half with the larger difference is taken,
    again and again. What still differs at the end is a jump: a threshold of a tree or of a bin.
    """
    floats = [name for name, values in ordinary.tensors.items() if values.dtype.kind == "f"]
    names = [spec.name for spec in model.signature.outputs]
    numbers = tuple(spec.name for spec in model.signature.outputs if spec.datatype in ("FP32", "FP64"))
    labels = tuple(name for name in names if name not in numbers)
    if not floats or not model.signature.batch_axis:
        return
    for outputs, steps in ((numbers, TO_A_JUMP), (labels, TO_A_BORDER)):
        if outputs:
            yield from _bisected(model, ordinary, floats, outputs, steps, generator, pairs)


def _bisected(
    model: BaseModel,
    ordinary: Batch,
    floats: list[str],
    outputs: tuple[str, ...],
    steps: int,
    generator: Generator,
    pairs: int,
) -> Iterator[Batch]:
    left = _taken(ordinary, generator.integers(0, ordinary.rows, pairs))
    other = _taken(ordinary, generator.integers(0, ordinary.rows, pairs))
    right = left | {name: other[name] for name in floats}

    def ask(rows: dict[str, Any]) -> Any:
        return answers(model, Batch(rows), outputs)

    here, there = ask(left), ask(right)
    if isinstance(here, str) or isinstance(there, str):
        return
    whole = _distance(here, there)
    for _ in range(steps):
        middle = left | {name: left[name] / 2 + right[name] / 2 for name in floats}
        between = ask(middle)
        if isinstance(between, str):
            return  # it refuses rows in between: nothing to follow
        nearer = _distance(here, between) >= _distance(between, there)
        right, there = _merged(nearer, middle, right), _merged(nearer, between, there)
        left, here = _merged(nearer, left, middle), _merged(nearer, here, between)
    apart = _distance(here, there) > whole * _SLOPE
    if apart.any():
        yield Batch({name: values[apart] for name, values in left.items()})
        yield Batch({name: values[apart] for name, values in right.items()})


def _draw(spec: TensorSpec, generator: Generator, rows: int) -> Any:
    shape = (rows, *(1 if size < 0 else size for size in spec.shape[1:]))
    if spec.categories:
        values = np.array([*spec.categories], dtype=spec.dtype)[
            generator.integers(0, len(spec.categories), shape)
        ]
    else:
        values = _PLAIN[spec.dtype.kind](generator, shape).astype(spec.dtype)
    if spec.nullable:
        values[generator.random(shape) < 0.1] = None if spec.datatype == "BYTES" else np.nan
    return values


def _numbers(generator: Generator, shape: tuple[int, ...]) -> Any:
    rows = (shape[0], *[1] * (len(shape) - 1))
    return generator.normal(size=shape) * generator.choice(_SIZES, rows)


def _texts(generator: Generator, shape: tuple[int, ...]) -> Any:
    words = np.array(["good", "bad", "the", "model", "Fast", "42", "a", "slow-ish", "naïve"], dtype=object)
    count = generator.integers(1, 6, shape)
    made = [" ".join(generator.choice(words, n)) for n in count.ravel()]
    return np.array(made, dtype=object).reshape(shape)


_PLAIN: dict[str, Callable[[Generator, tuple[int, ...]], Any]] = {
    "f": _numbers,
    "i": lambda generator, shape: generator.integers(0, 100, shape),
    "u": lambda generator, shape: generator.integers(0, 100, shape),
    "b": lambda generator, shape: generator.random(shape) < 0.5,
    "O": _texts,
}


def _odd_values(spec: TensorSpec) -> tuple[Any, ...]:
    if spec.datatype == "BYTES":
        return (*_ODD_TEXTS, None) if spec.nullable else _ODD_TEXTS
    if spec.dtype.kind == "f":
        return (np.nan, np.inf, -np.inf, 1e6, -1e6)
    return () if spec.dtype.kind == "b" else (101,)


def _taken(batch: Batch, places: Any) -> dict[str, Any]:
    return {name: values[places] for name, values in batch.tensors.items()}


def _merged(choose: Any, yes: dict[str, Any], no: dict[str, Any]) -> dict[str, Any]:
    return {
        name: np.where(choose.reshape(-1, *[1] * (np.ndim(values) - 1)), values, no[name])
        for name, values in yes.items()
    }


def _distance(one: dict[str, Any], other: dict[str, Any]) -> Any:
    """Return for each row how far two answers are apart; of labels how many differ."""
    total: Any = 0.0
    for name, values in one.items():
        a, b = np.asarray(values), np.asarray(other[name])
        far = np.abs(np.nan_to_num(a) - np.nan_to_num(b)) if a.dtype.kind == "f" else (a != b).astype(float)
        total = total + far.reshape(len(far), -1).sum(axis=1)
    return total
