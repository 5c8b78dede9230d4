"""Fakes that do the real thing in small: a clock to turn by hand, and models with one fault each."""

from __future__ import annotations

import threading

import numpy as np

from prism_core.protocols import BaseModel
from prism_core.types import Batch, Signature, TensorSpec

WAIT_S = 30.0  # a forgotten `release` fails the test instead of hanging it


class Clock:
    """Monotonic seconds that pass only when told to; call it as `time.monotonic`."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """Return the time."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


class Doubler(BaseModel):
    """Answers every number ``x`` with ``predictions`` 2x, and on request ``halves`` x/2.

    Attributes
    ----------
    executed
        The values of each execution, in order.
    """

    signature = Signature(
        inputs=(TensorSpec("input", "FP64", (-1, 1)),),
        outputs=(TensorSpec("predictions", "FP64", (-1,)), TensorSpec("halves", "FP64", (-1,))),
        default_outputs=("predictions",),
    )

    def __init__(self) -> None:
        self.executed: list[list[float]] = []

    def predict(self, inputs: Batch) -> Batch:
        """Double."""
        values = inputs["input"][:, 0]
        self.executed.append(values.tolist())
        answers = {"predictions": values * 2, "halves": values / 2}
        return Batch({name: answers[name] for name in inputs.outputs or self.signature.computed})


class Slow(Doubler):
    """Computes until it is released: ``started`` tells that it has begun, `release` lets it finish."""

    def __init__(self) -> None:
        super().__init__()
        self.started = threading.Event()
        self._gate = threading.Event()

    def release(self) -> None:
        """Let the running execution and all later ones finish."""
        self._gate.set()

    def predict(self, inputs: Batch) -> Batch:
        """Double, when released."""
        self.started.set()
        if not self._gate.wait(WAIT_S):
            raise TimeoutError("Nobody called release().")
        return super().predict(inputs)


class Picky(Doubler):
    """Raises for a batch with a negative number in it, as a model does that was trained without them."""

    def predict(self, inputs: Batch) -> Batch:
        """Double, unless one is negative."""
        if np.any(inputs["input"] < 0):
            raise ValueError("negative number")
        return super().predict(inputs)


class Short(Doubler):
    """Answers one row too few."""

    def predict(self, inputs: Batch) -> Batch:
        """Double, and lose the last row."""
        answer = super().predict(inputs)
        return Batch({name: tensor[:-1] for name, tensor in answer.tensors.items()})
