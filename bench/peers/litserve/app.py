"""LitServe: batching without a wait, one worker, one HTTP server, the fast queue, no access log."""

from __future__ import annotations

import os
import sys

import litserve
import numpy as np
from predictor import load


class Model(litserve.LitAPI):
    """One request's rows in, their labels out; LitServe gathers the requests."""

    def setup(self, device):
        self.answer = load(os.environ["MODEL"])

    def decode_request(self, request):
        return np.asarray(request["input"])

    def batch(self, inputs):
        self.counts = [len(rows) for rows in inputs]
        return np.concatenate(inputs)

    def predict(self, rows):
        return self.answer(rows)

    def unbatch(self, labels):
        return np.split(labels, np.cumsum(self.counts)[:-1])

    def encode_response(self, labels):
        return {"predictions": labels.tolist()}


if __name__ == "__main__":
    server = litserve.LitServer(
        Model(max_batch_size=64, batch_timeout=0.0), accelerator="cpu", workers_per_device=1, fast_queue=True
    )
    server.run(
        host="127.0.0.1",
        port=int(sys.argv[1]),
        num_api_servers=1,
        log_level="warning",
        generate_client_file=False,
        access_log=False,
    )
