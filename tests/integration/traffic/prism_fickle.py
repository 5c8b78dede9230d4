"""A plugin of tests: a model that doubles, and fails from a number on that its artifact says."""

import json

import numpy as np

from prism_core.plugin import BaseModel, Batch, Loader, Signature, TensorSpec, hookimpl


class Fickle(BaseModel):
    signature = Signature((TensorSpec("x", "INT64", (-1,)),), (TensorSpec("predictions", "INT64", (-1,)),))

    def __init__(self, fails_from: int) -> None:
        self.fails_from = fails_from

    def predict(self, inputs: Batch) -> Batch:
        if (inputs["x"] >= self.fails_from).any():
            raise ValueError("It fails from there on.")
        return Batch({"predictions": 2 * inputs["x"]})

    def example(self) -> Batch:
        return Batch({"x": np.zeros(1, dtype=np.int64)})


def load(artifact, options) -> Fickle:
    return Fickle(**json.loads(artifact.path.read_text()))


@hookimpl
def prism_loaders():
    yield Loader("fickle", (".fickle",), lambda a: float(a.suffix == ".fickle"), load)
