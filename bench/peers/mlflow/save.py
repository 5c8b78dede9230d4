"""Save a model in MLflow's format: ``python save.py MODEL DIRECTORY``; its own server serves that."""

from __future__ import annotations

import sys

model, directory = sys.argv[1:]
if model.endswith(".onnx"):
    import mlflow.onnx
    import onnx

    sessions = {"intra_op_num_threads": 1, "inter_op_num_threads": 1}
    mlflow.onnx.save_model(
        onnx.load(model),
        directory,
        onnx_session_options=sessions,
        onnx_execution_providers=["CPUExecutionProvider"],
    )
else:
    import joblib
    import mlflow.sklearn

    mlflow.sklearn.save_model(joblib.load(model), directory, serialization_format="cloudpickle")
