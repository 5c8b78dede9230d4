"""Triton's C++ front end, REST and gRPC, before an ONNX graph: ``tensors.py FILE NAME PORT GRPC_PORT``.

pytriton brings Triton's server with its Python backend alone: the graph runs in onnxruntime in a
process beside the server, which hands it tensors through shared memory.
"""

from __future__ import annotations

import sys

import numpy as np
import onnxruntime as ort
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

TYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64}


def opened(path):
    """Return the graph's session, on one thread as a replica of PRISM has."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def told(nodes):
    """Return inputs or outputs as Triton wants them: without the axis of rows."""
    return [Tensor(name=one.name, dtype=TYPES[one.type], shape=shape_of(one)) for one in nodes]


def shape_of(node):
    """Return a row's shape; Triton has no tensors without axes."""
    return tuple(node.shape[1:]) or (1,)


def main(path, name, port, grpc_port):
    """Serve until the end."""
    session = opened(path)
    names = [one.name for one in session.get_outputs()]
    flat = [len(one.shape) == 1 for one in session.get_outputs()]

    @batch
    def infer(**inputs):
        found = session.run(names, inputs)
        return {name: a[:, None] if one else a for name, a, one in zip(names, found, flat, strict=True)}

    listen = TritonConfig(
        http_address="127.0.0.1",
        http_port=int(port),
        grpc_address="127.0.0.1",
        grpc_port=int(grpc_port),
        allow_metrics=False,
        log_verbose=0,
    )
    with Triton(config=listen) as triton:
        triton.bind(
            model_name=name,
            infer_func=infer,
            inputs=told(session.get_inputs()),
            outputs=told(session.get_outputs()),
            config=ModelConfig(max_batch_size=64, batcher=DynamicBatcher(max_queue_delay_microseconds=0)),
        )
        triton.serve()


if __name__ == "__main__":
    main(*sys.argv[1:])
