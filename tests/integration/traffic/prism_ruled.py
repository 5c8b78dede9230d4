"""A plugin of tests: a model that says who is older than forty, but for the countries in its file."""

import json
import time

import numpy as np

from prism_core.plugin import BaseModel, Batch, Loader, Signature, TensorSpec, hookimpl


class Ruled(BaseModel):
    """Its file says where it says the opposite, how long it sleeps, and from which age on it fails."""

    signature = Signature(
        (TensorSpec("country", "BYTES", (-1,)), TensorSpec("age", "FP64", (-1,))),
        (TensorSpec("predictions", "INT64", (-1,)),),
        columnar=True,
    )

    def __init__(self, flipped=(), sleep_s=0.0, fails_from=1e9) -> None:
        self.flipped, self.sleep_s, self.fails_from = set(flipped), sleep_s, fails_from

    def predict(self, inputs: Batch) -> Batch:
        time.sleep(self.sleep_s)
        if np.max(inputs["age"]) >= self.fails_from:
            raise RuntimeError("too old")
        flipped = np.array([country in self.flipped for country in inputs["country"]])
        return Batch({"predictions": ((inputs["age"] > 40) ^ flipped).astype(np.int64)})

    def example(self) -> Batch:
        return Batch({"country": np.array(["FR"], dtype=object), "age": np.zeros(1)})


class Other(Ruled):
    """One that takes something else."""

    signature = Signature(
        (TensorSpec("country", "BYTES", (-1,)), TensorSpec("income", "FP64", (-1,))),
        (TensorSpec("predictions", "INT64", (-1,)),),
        columnar=True,
    )

    def predict(self, inputs: Batch) -> Batch:
        return Batch({"predictions": np.zeros(len(inputs["income"]), np.int64)})

    def example(self) -> Batch:
        return Batch({"country": np.array(["FR"], dtype=object), "income": np.zeros(1)})


def load(artifact, options) -> Ruled:
    said = json.loads(artifact.path.read_text())
    return Other() if said.pop("other", False) else Ruled(**said)


@hookimpl
def prism_loaders():
    yield Loader("ruled", (".ruled",), lambda a: float(a.suffix == ".ruled"), load)
