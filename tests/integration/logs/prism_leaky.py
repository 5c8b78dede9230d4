"""A plugin of tests: models and media types that fail with secrets in what they say."""

import sys
from pathlib import Path

import attrs
import numpy as np

from prism_core.plugin import (
    BaseModel,
    Batch,
    Loader,
    Normalizer,
    Signature,
    TensorSpec,
    hookimpl,
)

SECRET = "s3cret-of-the-model"
SAID = f"{SECRET} is in {__file__}"


class LeakyInside(Exception):
    """An exception of the plugin's own."""


def missing_file() -> None:
    Path(f"{__file__}.{SECRET}").read_text()


def own() -> None:
    raise LeakyInside(SAID)


def value() -> None:
    raise ValueError(SAID)


def leaves() -> None:
    sys.exit(SAID)


def deep() -> None:
    deep()


FAULTS = {-1: value, -2: own, -3: missing_file, -4: leaves, -5: deep}


class Leaky(BaseModel):
    """Answers the number; fails on negative ones, each in its way."""

    signature = Signature((TensorSpec("x", "FP64", (-1,)),), (TensorSpec("predictions", "FP64", (-1,)),))

    def example(self) -> Batch:
        return Batch({"x": np.zeros(1)})

    def predict(self, inputs: Batch) -> Batch:
        x = inputs["x"]
        for number in x:
            FAULTS.get(int(number), int)()
        if -6 in x:
            return Batch({"predictions": x[:-1]})
        if -7 in x:
            return Batch({"other": x})
        if -8 in x:
            return Batch({"predictions": np.array([object() for _ in x], object)})
        return Batch({"predictions": x})


@attrs.frozen
class Options:
    """None."""


def load(artifact, options: Options) -> Leaky:
    said = artifact.path.read_text()
    if said != "whole":
        raise RuntimeError(SAID)
    return Leaky()


@hookimpl
def prism_loaders():
    yield Loader(
        "leaky",
        (".leaky",),
        lambda artifact: float(artifact.suffix == ".leaky"),
        load,
        options=Options,
        deterministic=False,
    )


def fails(*_):
    raise RuntimeError(SAID)


@hookimpl
def prism_normalizers():
    yield Normalizer("application/x-fails", normalize=fails, encode=fails)
