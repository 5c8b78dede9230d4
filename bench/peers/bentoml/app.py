"""BentoML: adaptive batching, one worker, no access log, no metrics."""

from __future__ import annotations

import os

import bentoml
import numpy as np
from predictor import load


@bentoml.service(
    workers=1,
    logging={"access": {"enabled": False}},
    metrics={"enabled": False},
    traffic={"timeout": 60},
)
class Model:
    """The service."""

    def __init__(self) -> None:
        self.answer = load(os.environ["MODEL"])

    @bentoml.api(batchable=True, max_batch_size=64, max_latency_ms=1000)
    def predict(self, input: np.ndarray) -> np.ndarray:
        """Answer the rows of a batch."""
        return self.answer(input)
