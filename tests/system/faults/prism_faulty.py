"""A plugin of tests: models that multiply, and that do what their file says when a number is negative."""

from __future__ import annotations

import os
import time
from typing import Any

import attrs
import msgspec
import numpy as np

from prism_core.plugin import BaseModel, Batch, Loader, Signature, TensorSpec, hookimpl

LINE = "All work and no play makes a model print too much.".ljust(1023, ".") + "\n"


class Told(msgspec.Struct):
    """The file. ``row_s`` is the time that each row takes, ``load_s`` what loading takes."""

    factor: float = 1.0
    does: str = "nothing"
    row_s: float = 0.0
    load_s: float = 0.0
    deterministic: bool = True


class Faulty(BaseModel):
    """Answers ``factor`` times the number."""

    def __init__(self, told: Told) -> None:
        self.told = told
        self.leaked: list[bytearray] = []
        number = TensorSpec("x", "FP64", (-1,))
        answer = TensorSpec("predictions", "FP64", (-1,))
        self.signature = Signature((number,), (answer,), deterministic=told.deterministic)

    def example(self) -> Batch:
        return Batch({"x": np.zeros(1)})

    def predict(self, inputs: Batch) -> Batch:
        x = inputs["x"]
        if self.told.row_s:
            time.sleep(self.told.row_s * len(x))
        answer = x * self.told.factor
        if np.any(x < 0):
            fault: Any = getattr(self, self.told.does)
            answer = fault(answer)
        return Batch({"predictions": answer})

    def nothing(self, answer: np.ndarray) -> np.ndarray:
        return answer

    def raises(self, answer: np.ndarray) -> np.ndarray:
        raise ZeroDivisionError("a model that was trained without negative numbers")

    def too_few(self, answer: np.ndarray) -> np.ndarray:
        return answer[:-1]

    def nan(self, answer: np.ndarray) -> np.ndarray:
        return np.where(answer < 0, np.nan, answer)

    def prints(self, answer: np.ndarray) -> np.ndarray:
        for _ in range(1 << 20):
            print(LINE, end="")
        return answer

    def exits(self, answer: np.ndarray) -> np.ndarray:
        os._exit(3)

    def leaks(self, answer: np.ndarray) -> np.ndarray:
        self.leaked.append(bytearray(os.urandom(1 << 20) * 8))
        return answer


@attrs.frozen
class Options:
    """None."""


def load(artifact, options: Options) -> Faulty:
    told = msgspec.json.decode(artifact.path.read_bytes(), type=Told)
    if told.load_s:
        time.sleep(told.load_s)
    return Faulty(told)


@hookimpl
def prism_loaders():
    yield Loader("faulty", (".faulty",), lambda a: float(a.suffix == ".faulty"), load, options=Options)
