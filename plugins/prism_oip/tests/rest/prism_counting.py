"""A plugin of tests: a model that counts its executions, and a tunnel that leads to its own listener."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager

import numpy as np

from prism_core.plugin import (
    BaseModel,
    Batch,
    LinkProvider,
    Loader,
    Signature,
    TensorSpec,
    hookimpl,
)


class Counting(BaseModel):
    """Sleeps as long as its slowest row wants; answers each with the number of its execution."""

    signature = Signature(
        (TensorSpec("seconds", "FP64", (-1,)),),
        (TensorSpec("execution", "INT64", (-1,)),),
        deterministic=False,
    )

    def __init__(self) -> None:
        self.executions = 0

    def predict(self, inputs: Batch) -> Batch:
        seconds = inputs["seconds"]
        if (seconds < 0).any():
            raise ValueError("Nobody sleeps so.")
        self.executions += 1
        time.sleep(float(seconds.max()))
        return Batch({"execution": np.full(len(seconds), self.executions, np.int64)})


@hookimpl
def prism_loaders():
    yield Loader(
        "counting",
        (".count",),
        lambda a: float(a.suffix == ".count"),
        lambda a, o: Counting(),
        deterministic=False,
    )


class Straight:
    """Says of a listener that is a tunnel's where it is."""

    async def publish(self, listener) -> str:
        return listener.url()

    async def withdraw(self) -> None:
        """Nothing is open."""

    async def health(self) -> str:
        return ""


@hookimpl
def prism_link_providers():
    @asynccontextmanager
    async def open_straight(config):
        yield Straight()

    yield LinkProvider("straight", open=open_straight, tunnel=True)
