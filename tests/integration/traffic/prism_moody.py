"""A plugin of tests: a model that answers a multiple of what it is asked, unless it is told to fail."""

import os
import time
from pathlib import Path

import numpy as np

from prism_core.plugin import BaseModel, Batch, Loader, Signature, TensorSpec, hookimpl

RAISE, SLEEP, DIE = -1.0, -2.0, -3.0


class Moody(BaseModel):
    """Fails as it is asked to, while its factor is negative and there is no file ``calm``."""

    signature = Signature((TensorSpec("x", "FP64", (-1,)),), (TensorSpec("predictions", "FP64", (-1,)),))

    def __init__(self, factor: float, calm: str) -> None:
        self.factor, self.calm = factor, Path(calm)

    def predict(self, inputs: Batch) -> Batch:
        wish = float(inputs["x"].min())
        if self.factor < 0 and wish < 0 and not self.calm.exists():
            self.fail(wish)
        return Batch({"predictions": inputs["x"] * abs(self.factor)})

    def fail(self, wish: float) -> None:
        if wish == DIE:
            os._exit(7)
        if wish == SLEEP:
            time.sleep(1.0)
        else:
            raise ValueError("It is in no mood.")

    def example(self) -> Batch:
        return Batch({"x": np.zeros(1)})


def load(artifact, options) -> Moody:
    factor, calm = artifact.path.read_text().split()
    return Moody(float(factor), calm)


@hookimpl
def prism_loaders():
    yield Loader("moody", (".moody",), lambda a: float(a.suffix == ".moody"), load)
