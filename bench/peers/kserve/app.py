"""KServe's SDK: the model in the server's process, as its documentation has it; no batching there."""

from __future__ import annotations

import os

import kserve
import numpy as np
from predictor import load


class Model(kserve.Model):
    """The V1 protocol: instances in, predictions out."""

    def __init__(self) -> None:
        super().__init__("model")
        self.load()

    def load(self) -> bool:
        self.answer = load(os.environ["MODEL"])
        self.ready = True
        return self.ready

    def predict(self, payload, headers=None, response_headers=None):
        return {"predictions": self.answer(np.asarray(payload["instances"])).tolist()}


if __name__ == "__main__":
    kserve.ModelServer().start([Model()])
