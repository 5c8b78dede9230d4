"""nvidia-pytriton: Triton's C++ front end with its dynamic batcher, the model in Python."""

from __future__ import annotations

import os
import sys

import numpy as np
from predictor import load
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

answer = load(os.environ["MODEL"])


@batch
def infer(input):
    """Answer the rows of a batch."""
    return {"predictions": np.asarray(answer(input), dtype=np.int64)[:, None]}


if __name__ == "__main__":
    port, columns = map(int, sys.argv[1:])
    listen = TritonConfig(
        http_address="127.0.0.1", http_port=port, allow_grpc=False, allow_metrics=False, log_verbose=0
    )
    with Triton(config=listen) as triton:
        triton.bind(
            model_name="model",
            infer_func=infer,
            inputs=[Tensor(name="input", dtype=np.float64, shape=(columns,))],
            outputs=[Tensor(name="predictions", dtype=np.int64, shape=(1,))],
            config=ModelConfig(max_batch_size=64, batcher=DynamicBatcher(max_queue_delay_microseconds=0)),
        )
        triton.serve()
