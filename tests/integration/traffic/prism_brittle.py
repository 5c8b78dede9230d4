"""A plugin of tests: a model whose replicas can be told to fail, each by a file in its own directory."""

import os
from pathlib import Path

import numpy as np

from prism_core.plugin import BaseModel, Batch, Loader, Signature, TensorSpec, hookimpl


class Brittle(BaseModel):
    """Answers with its process, and fails, which it counts, as long as there is a file ``broken``."""

    signature = Signature((TensorSpec("x", "FP64", (-1,)),), (TensorSpec("predictions", "INT64", (-1,)),))

    def predict(self, inputs: Batch) -> Batch:
        if Path("broken").exists():
            with open("failures", "a") as file:
                file.write(".")
            raise RuntimeError("Not today.")
        return Batch({"predictions": np.full(len(inputs["x"]), os.getpid())})

    def example(self) -> Batch:
        return Batch({"x": np.zeros(1)})


@hookimpl
def prism_loaders():
    yield Loader(
        "brittle", (".brittle",), lambda a: float(a.suffix == ".brittle"), lambda artifact, options: Brittle()
    )
