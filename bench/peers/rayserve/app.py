"""Ray Serve: one replica with `serve.batch`, no access log, no dashboard."""

from __future__ import annotations

import os
import sys
import threading

import numpy as np
import ray
from predictor import load
from ray import serve


@serve.deployment(
    num_replicas=1,
    max_ongoing_requests=256,
    ray_actor_options={"num_cpus": 1},
    logging_config={"enable_access_log": False, "log_level": "WARNING"},
)
class Model:
    """The deployment."""

    def __init__(self, path: str) -> None:
        self.answer = load(path)

    @serve.batch(max_batch_size=64, batch_wait_timeout_s=0.0)
    async def batch(self, requests):
        labels = self.answer(np.concatenate(requests))
        ends = np.cumsum([len(rows) for rows in requests])[:-1]
        return [{"predictions": part.tolist()} for part in np.split(labels, ends)]

    async def __call__(self, request):
        body = await request.json()
        return await self.batch(np.asarray(body["input"]))


if __name__ == "__main__":
    port, temporary = sys.argv[1:]
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, _temp_dir=temporary)
    serve.start(
        http_options={"host": "127.0.0.1", "port": int(port)}, logging_config={"enable_access_log": False}
    )
    serve.run(Model.bind(os.environ["MODEL"]), route_prefix="/predict")
    threading.Event().wait()
