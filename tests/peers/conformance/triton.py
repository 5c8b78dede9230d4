"""Triton's server with a model of numbers and a text, which it gives back: ``triton.py PORT GRPC_PORT``."""

from __future__ import annotations

import sys

import numpy as np
from pytriton.decorators import batch
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig, TritonSecurityConfig

INPUTS = [Tensor(name="x", dtype=np.float32, shape=(3,)), Tensor(name="t", dtype=bytes, shape=(1,))]
OUTPUTS = [Tensor(name="y", dtype=np.float32, shape=(3,)), Tensor(name="u", dtype=bytes, shape=(1,))]


@batch
def both(x, t):
    """Answer the numbers, doubled, and the text."""
    return {"y": x * 2, "u": t}


@batch
def numbers(x):
    """Answer the numbers, doubled."""
    return {"y": x * 2}


def main(port, grpc_port):
    """Serve until the end; what PyTriton closes to others is open here."""
    listen = TritonConfig(
        http_address="127.0.0.1",
        http_port=int(port),
        grpc_address="127.0.0.1",
        grpc_port=int(grpc_port),
        allow_metrics=False,
        log_verbose=0,
    )
    rows = ModelConfig(max_batch_size=8)
    with Triton(config=listen, security_config=TritonSecurityConfig(restricted_endpoints=[])) as triton:
        triton.bind("both", both, INPUTS, OUTPUTS, config=rows)
        triton.bind("numbers", numbers, INPUTS[:1], OUTPUTS[:1], config=rows)
        triton.serve()


if __name__ == "__main__":
    main(*sys.argv[1:])
