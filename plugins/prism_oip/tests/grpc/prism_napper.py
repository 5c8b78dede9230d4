"""A plugin of tests: a model that is busy as long as a file says, and writes down what it was asked."""

import time
from pathlib import Path

import numpy as np

from prism_core.plugin import BaseModel, Batch, Loader, Signature, TensorSpec, hookimpl


class Napper(BaseModel):
    """Answers what it is given; one that is 1 or more only once there is a file ``enough``."""

    signature = Signature((TensorSpec("x", "FP64", (-1,)),), (TensorSpec("predictions", "FP64", (-1,)),))

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def predict(self, inputs: Batch) -> Batch:
        values = inputs["x"]
        with (self._directory / "seen").open("a") as seen:
            seen.writelines(f"{value:g}\n" for value in values)
        while float(np.max(values)) >= 1 and not (self._directory / "enough").exists():
            time.sleep(0.01)
        return Batch({"predictions": values})

    def example(self) -> Batch:
        return Batch({"x": np.zeros(1)})


def load(artifact, options) -> Napper:
    return Napper(Path(artifact.path.read_text()))


@hookimpl
def prism_loaders():
    # Not deterministic: what is lost is not asked again, so that a test sees it.
    yield Loader("napper", (".nap",), lambda a: float(a.suffix == ".nap"), load, deterministic=False)
