"""A toy model that doubles numbers, and a session around it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

import msgspec
import numpy as np
import pytest

from prism_core.manifest import Batching, Manifest
from prism_core.plugin import (
    Answer,
    BaseModel,
    Batch,
    InvalidInput,
    MalformedBody,
    Normalizer,
    Signature,
    TensorSpec,
)
from prism_core.runtime.session import Session

DOUBLER = Signature(
    inputs=(TensorSpec("input", "FP64", (-1, 1)),),
    outputs=(TensorSpec("predictions", "FP64", (-1,)), TensorSpec("halves", "FP64", (-1,))),
    default_outputs=("predictions",),
)


class Doubler(BaseModel):
    """Answers 2x; raises for negative numbers; waits while ``gate`` is closed."""

    signature = DOUBLER

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.executed: list[list[float]] = []

    def predict(self, inputs: Batch) -> Batch:
        self.gate.wait(10)
        values = inputs["input"][:, 0]
        self.executed.append(values.tolist())
        if (values < 0).any():
            raise ValueError("negative")
        if (values == 3.5).any():
            sys.exit("no more")
        if (values == 404).any():
            return Batch({"predictions": values[:-1]})
        return Batch({"predictions": values * 2, "halves": values / 2})


def read(body: memoryview, signature: Signature, request: object) -> Batch:
    try:
        values = msgspec.json.decode(body, type=list[float])
    except msgspec.DecodeError as error:
        raise MalformedBody(str(error)) from error
    if not values:
        raise InvalidInput("No rows.")
    return Batch({"input": np.array(values)[:, None]})


def write(answer: Answer) -> bytes:
    return msgspec.json.encode({name: values.tolist() for name, values in answer.outputs.tensors.items()})


@pytest.fixture
def manifest() -> Manifest:
    return Manifest(
        "doubler", 1, "toy", "toy", "d.toy", "sha256:0", 1, 0.0, batching=Batching(latency_slo_ms=0)
    )


@pytest.fixture
def model() -> Doubler:
    return Doubler()


@pytest.fixture
def json() -> Normalizer:
    return Normalizer("application/json", read, write)


@pytest.fixture
def session(manifest: Manifest, model: Doubler, json: Normalizer) -> Session:
    return Session(manifest, model, {json.media_type: json})


@pytest.fixture
def batch() -> Callable[..., Batch]:
    return lambda *values: Batch({"input": np.array(values, dtype=np.float64)[:, None]})
