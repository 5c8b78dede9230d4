"""A plugin of tests: a model that doubles, and is odd in the way that its artifact says."""

import json
import os
import time

import numpy as np

from prism_core.plugin import BaseModel, Batch, Loader, Signature, TensorSpec, hookimpl


class Odd(BaseModel):
    """Doubles; answers 1 more to every multiple of ``wrong_of``, sleeps, fails, or dies of a value."""

    signature = Signature((TensorSpec("x", "INT64", (-1,)),), (TensorSpec("predictions", "INT64", (-1,)),))

    def __init__(self, wrong_of=0, sleep_s=0.0, spin_s=0.0, fails=False, dies_of=-1) -> None:
        self.wrong_of = wrong_of
        self.sleep_s = sleep_s
        self.spin_s = spin_s
        self.fails = fails
        self.dies_of = dies_of
        self.asked = 0

    def predict(self, inputs: Batch) -> Batch:
        x = inputs["x"]
        if self.dies_of in x:
            os._exit(1)
        if self.fails and x.any():  # not of what warms it up
            raise ValueError("It always fails.")
        time.sleep(self.sleep_s)
        ends = time.perf_counter() + self.spin_s
        while time.perf_counter() < ends:
            pass
        wrong = x % self.wrong_of == 0 if self.wrong_of else np.zeros_like(x)
        return Batch({"predictions": 2 * x + wrong})

    def example(self) -> Batch:
        return Batch({"x": np.zeros(1, dtype=np.int64)})


def load(artifact, options) -> Odd:
    return Odd(**json.loads(artifact.path.read_text()))


@hookimpl
def prism_loaders():
    yield Loader("odd", (".odd",), lambda a: float(a.suffix == ".odd"), load)
