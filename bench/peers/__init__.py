"""The peers: each in an environment of its own, each with its documented best configuration.

One worker, as PRISM has one replica; batching where it has some; no access logs; numeric
libraries on one thread. ``bench/peers/NAME/`` holds what it runs and ``requirements.txt``, the
pinned packages of its environment (`bench.environments`).
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.environments import python
from bench.servers import HERE, Place, Server, free_port, model_variable, plain_labels, uvicorn

PEERS_AT = HERE / "peers"


def script(peer: str, *more: Callable[[Place], object]) -> Callable[[Place], Sequence[object]]:
    """Return the command ``app.py PORT ...`` of a peer."""
    app = PEERS_AT / peer / "app.py"
    return lambda place: (python(peer), app, place.port, *(word(place) for word in more))


def list_labels(answer: Any) -> list[int]:
    """Return the labels of an answer that is just their list."""
    return [int(label) for label in answer]


def v1_body(rows: list[list[float]]) -> str:
    """Return a body of the V1 inference protocol."""
    return json.dumps({"instances": rows})


def v2_body(rows: list[list[float]]) -> str:
    """Return a body of the V2 (Open Inference) protocol."""
    data = [value for row in rows for value in row]
    tensor = {"name": "input", "shape": [len(rows), len(rows[0])], "datatype": "FP64", "data": data}
    return json.dumps({"inputs": [tensor]})


def v2_labels(answer: Any) -> list[int]:
    """Return the labels of an answer of the V2 protocol."""
    return [int(label) for label in answer["outputs"][0]["data"]]


def columns(place: Place) -> int:
    """Return how many columns the model takes."""
    rows = json.loads((place.models / "rows.json").read_text())
    return len(rows[place.model][0])


def serve_bentoml(place: Place) -> Sequence[object]:
    """Return ``bentoml serve``."""
    where = ("--working-dir", PEERS_AT / "bentoml", "--host", "127.0.0.1", "--port", place.port)
    return (python("bentoml"), "-m", "bentoml", "serve", "app:Model", *where)


def bentoml_variables(place: Place) -> dict[str, str]:
    """Keep BentoML's files in the run's directory and its statistics at home."""
    return model_variable(place) | {"BENTOML_HOME": str(place.data), "BENTOML_DO_NOT_TRACK": "True"}


def prepare_mlserver(place: Place) -> None:
    """Write MLServer's two settings files."""
    server = {
        "debug": False,
        "host": "127.0.0.1",
        "http_port": place.port,
        "grpc_port": free_port(),
        "metrics_endpoint": None,
        "parallel_workers": 0,
    }
    kind = "onnx_model.OnnxModel" if place.file.suffix == ".onnx" else "mlserver_sklearn.SKLearnModel"
    model = {
        "name": "model",
        "implementation": kind,
        "max_batch_size": 64,
        "max_batch_time": 0.001,
        "parameters": {"uri": str(place.file)},
    }
    (place.data / "settings.json").write_text(json.dumps(server))
    (place.data / "model-settings.json").write_text(json.dumps(model))


def serve_mlserver(place: Place) -> Sequence[object]:
    """Return ``mlserver start``."""
    return (python("mlserver").with_name("mlserver"), "start", place.data)


def ray_variables(place: Place) -> dict[str, str]:
    """Send no statistics; what Ray's documentation names for throughput."""
    return model_variable(place) | {"RAY_USAGE_STATS_ENABLED": "0", "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"}


def serve_kserve(place: Place) -> Sequence[object]:
    """Return the command of KServe's model server."""
    logs = ("--log_config_file", PEERS_AT / "kserve" / "logging.json")
    quiet = (*logs, "--enable_grpc", "false", "--enable_latency_logging", "false")
    return (python("kserve"), PEERS_AT / "kserve" / "app.py", "--http_port", place.port, *quiet)


def saved_by_mlflow(place: Place) -> Path:
    """Return where the model is in MLflow's format."""
    return place.models / f"mlflow-{place.model}"


def prepare_mlflow(place: Place) -> None:
    """Save the model in MLflow's format, once."""
    if not saved_by_mlflow(place).exists():
        save = PEERS_AT / "mlflow" / "save.py"
        subprocess.run(
            [python("mlflow"), save, place.file, saved_by_mlflow(place)], check=True, capture_output=True
        )


def mlflow_variables(place: Place) -> dict[str, str]:
    """Name the model as ``mlflow models serve`` does for the server it starts."""
    return {
        "__pyfunc_model_path__": str(saved_by_mlflow(place)),
        "MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT": "60",
    }


def mlflow_body(rows: list[list[float]]) -> str:
    """Return a body of MLflow's scoring protocol."""
    return json.dumps({"inputs": rows})


def mlflow_labels(answer: Any) -> list[int]:
    """Return the labels; an ONNX model answers with all its outputs by name."""
    found = answer["predictions"]
    return [int(label) for label in (next(iter(found.values())) if isinstance(found, dict) else found)]


PEERS = (
    Server(
        "FastAPI",
        uvicorn("app:app", "peers/fastapi", lambda: python("fastapi")),
        environment=model_variable,
        peer="fastapi",
        package="fastapi",
    ),
    Server(
        "BentoML",
        serve_bentoml,
        environment=bentoml_variables,
        labels=list_labels,
        peer="bentoml",
        package="bentoml",
    ),
    Server("LitServe", script("litserve"), environment=model_variable, peer="litserve", package="litserve"),
    Server(
        "MLServer",
        serve_mlserver,
        "/v2/models/model/infer",
        prepare=prepare_mlserver,
        environment=lambda place: {"PYTHONPATH": f"{HERE / 'shared'}:{PEERS_AT / 'mlserver'}"},
        body=v2_body,
        labels=v2_labels,
        peer="mlserver",
        package="mlserver",
    ),
    Server(
        "Ray Serve",
        script("rayserve", lambda place: place.data / "ray"),
        environment=ray_variables,
        peer="rayserve",
        package="ray",
    ),
    Server(
        "MLflow",
        uvicorn("mlflow.pyfunc.scoring_server.app:app", "shared", lambda: python("mlflow")),
        "/invocations",
        prepare=prepare_mlflow,
        environment=mlflow_variables,
        body=mlflow_body,
        labels=mlflow_labels,
        peer="mlflow",
        package="mlflow",
    ),
    Server(
        "KServe SDK",
        serve_kserve,
        "/v1/models/model:predict",
        environment=model_variable,
        body=v1_body,
        labels=plain_labels,
        peer="kserve",
        package="kserve",
    ),
    Server(
        "pytriton",
        script("pytriton", columns),
        "/v2/models/model/infer",
        environment=model_variable,
        body=v2_body,
        labels=v2_labels,
        peer="pytriton",
        package="nvidia-pytriton",
    ),
)
