"""A plugin of tests that runs wherever PRISM's runtime does: a model that does what its rows say.

A row is a number, a deed and how much of it. The standard library and numpy are all that is needed.
"""

import json
import os
import time
from importlib.metadata import version

import numpy as np

from prism_core.plugin import BaseModel, Batch, Loader, Signature, TensorSpec, hookimpl

MB = 1 << 20


class Told(BaseModel):
    """Answers ``factor`` times the number, after the deed."""

    signature = Signature((TensorSpec("rows", "FP64", (-1, 3)),), (TensorSpec("predictions", "FP64", (-1,)),))

    def __init__(self, factor: float) -> None:
        self.factor = factor
        self.held: list[np.ndarray] = []

    def predict(self, inputs: Batch) -> Batch:
        rows = inputs["rows"]
        for _, deed, amount in rows[rows[:, 1] != NOTHING]:
            DEEDS[int(deed)](self, amount)
        return Batch({"predictions": rows[:, 0] * self.factor})

    def example(self) -> Batch:
        return Batch({"rows": np.zeros((1, 3))})

    def nothing(self, amount: float) -> None:
        """Just answer."""

    def sleep(self, amount: float) -> None:
        """Take so many seconds."""
        print(f"Asleep for {amount:g} s.")
        time.sleep(amount)

    def hold(self, amount: float) -> None:
        """Keep so many megabytes from now on."""
        self.held.append(np.ones(int(amount) * MB, np.uint8))

    def say(self, amount: float) -> None:
        """Print a number."""
        print(f"I was told to say {amount:g}.")

    def leave(self, amount: float) -> None:
        """End the process with this code."""
        os._exit(int(amount))

    def fail(self, amount: float) -> None:
        """Raise."""
        raise ArithmeticError(f"told to fail with {amount:g}")


DEEDS = (Told.nothing, Told.sleep, Told.hold, Told.say, Told.leave, Told.fail)
NOTHING, SLEEP, HOLD, SAY, LEAVE, FAIL = range(len(DEEDS))


def load(artifact, options) -> Told:
    path = artifact.path / "told.json" if artifact.path.is_dir() else artifact.path
    facts = json.loads(path.read_text())
    print(f"A factor of {facts['factor']}.")
    if "refuses" in facts:
        raise RuntimeError(facts["refuses"])
    if "package" in facts:
        facts["factor"] = version(facts["package"]).replace(".", "")
    return Told(float(facts["factor"]))


def recognises(artifact) -> float:
    return float(artifact.suffix == ".told" or (artifact.path / "told.json").exists())


@hookimpl
def prism_loaders():
    yield Loader("told", (".told",), recognises, load)
