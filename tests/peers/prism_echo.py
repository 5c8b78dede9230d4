"""A plugin of tests: models that answer what they are asked, of any datatype.

An artifact ``fp32.echo`` is JSON: ``{"datatype": "FP32"}``. It answers ``y``, which is ``x``, and ``places``,
the number of values in each row. ``{"datatype": "FP64", "sleeps": true}`` also sleeps, for as many
seconds as the largest value; a negative value fails.
"""

import json
import time

import numpy as np

from prism_core.plugin import BaseModel, Batch, Loader, Signature, TensorSpec, hookimpl


class Echo(BaseModel):
    """Answers its input."""

    def __init__(self, datatype: str, sleeps: bool = False) -> None:
        self.signature = Signature(
            (TensorSpec("x", datatype, (-1, -1)),),
            (TensorSpec("y", datatype, (-1, -1)), TensorSpec("places", "INT64", (-1,))),
        )
        self.sleeps = sleeps

    def predict(self, inputs: Batch) -> Batch:
        x = inputs["x"]
        if self.sleeps:
            if np.min(x) < 0:
                raise ValueError("It cannot sleep less than nothing.")
            time.sleep(float(np.max(x)))
        answers = {"y": x, "places": np.full(len(x), x.shape[1])}
        return Batch({name: answers[name] for name in inputs.outputs or answers})

    def example(self) -> Batch:
        return Batch({"x": np.zeros((1, 2)).astype(self.signature.inputs[0].dtype)})


def load(artifact, options) -> Echo:
    return Echo(**json.loads(artifact.path.read_text()))


@hookimpl
def prism_loaders():
    yield Loader("echo", (".echo",), lambda artifact: float(artifact.suffix == ".echo"), load)
