"""The models of the benchmark as one function, the same for all peers that take a function.

One thread for numeric libraries, as a replica of PRISM has.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np


def load(path):
    """Return the function from an array of rows to an array of labels."""
    path = str(path)
    return load_onnx(path) if path.endswith(".onnx") else load_pickle(path)


def load_pickle(path):
    """Return ``predict`` of an estimator."""
    import joblib

    return joblib.load(path).predict


def load_onnx(path):
    """Return a function that runs the graph and returns its labels."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name, label = session.get_inputs()[0].name, session.get_outputs()[0].name
    return lambda rows: session.run([label], {name: np.asarray(rows, dtype=np.float32)})[0]
