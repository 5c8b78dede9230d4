"""The same rows in the words of each protocol, and what an answer says. No I/O.

Each form asks for one output, and, where the protocol has that, in raw bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import attrs
import numpy as np

Asked = tuple[dict[str, str], bytes]
TYPES = {"INT64": np.dtype("<i8"), "FP32": np.dtype("<f4")}
GRPC_HEADERS = {"content-type": "application/grpc", "te": "trailers"}


@attrs.frozen
class Form:
    """One protocol: where it asks, what it sends for ``(model, input, output, rows)``, what its answers say.

    ``grpc``: HTTP/2, before a listener of its own; bodies are messages without their prefix.
    """

    name: str
    path: str
    ask: Callable[[str, str, str, np.ndarray], Asked]
    read: Callable[[Mapping[str, str], bytes, str], np.ndarray]
    grpc: bool = False


def ask_native(model: str, tensor: str, output: str, rows: np.ndarray) -> Asked:
    """Write PRISM's own JSON."""
    return {"content-type": "application/json"}, json.dumps({"input": decimals(rows)}).encode()


def read_native(headers: Mapping[str, str], body: bytes, output: str) -> np.ndarray:
    """Read the answer to it."""
    return np.array(json.loads(body)["predictions"])


def ask_bytes(model: str, tensor: str, output: str, rows: np.ndarray) -> Asked:
    """Write the numbers alone, as PRISM's own route takes them."""
    return {"content-type": "application/octet-stream"}, rows.astype("<f4").tobytes()


def ask_json(model: str, tensor: str, output: str, rows: np.ndarray) -> Asked:
    """Write tensors as JSON."""
    told = {"name": tensor, "shape": rows.shape, "datatype": "FP32", "data": decimals(rows.ravel())}
    body = {"inputs": [told], "outputs": [{"name": output}]}
    return {"content-type": "application/json"}, json.dumps(body).encode()


def read_json(headers: Mapping[str, str], body: bytes, output: str) -> np.ndarray:
    """Read the answer to it."""
    return np.array(found(json.loads(body), output)["data"])


def ask_binary(model: str, tensor: str, output: str, rows: np.ndarray) -> Asked:
    """Write tensors behind the JSON that tells of them."""
    raw = rows.astype("<f4").tobytes()
    told = {
        "name": tensor,
        "shape": rows.shape,
        "datatype": "FP32",
        "parameters": {"binary_data_size": len(raw)},
    }
    wanted = {"name": output, "parameters": {"binary_data": True}}
    head = json.dumps({"inputs": [told], "outputs": [wanted]}).encode()
    said = {"content-type": "application/octet-stream", "inference-header-content-length": str(len(head))}
    return said, head + raw


def read_binary(headers: Mapping[str, str], body: bytes, output: str) -> np.ndarray:
    """Read the answer to it, of one output."""
    length = int(headers["inference-header-content-length"])
    return np.frombuffer(body[length:], TYPES[found(json.loads(body[:length]), output)["datatype"]])


def ask_grpc(model: str, tensor: str, output: str, rows: np.ndarray) -> Asked:
    """Write a ``ModelInferRequest`` with raw contents."""
    from prism_oip.rpc import oip_pb2

    request = oip_pb2.ModelInferRequest(model_name=model, raw_input_contents=[rows.astype("<f4").tobytes()])
    request.inputs.add(name=tensor, datatype="FP32", shape=rows.shape)
    request.outputs.add(name=output)
    return GRPC_HEADERS, request.SerializeToString()


def read_grpc(headers: Mapping[str, str], body: bytes, output: str) -> np.ndarray:
    """Read the answer to it, of one output."""
    from prism_oip.rpc import oip_pb2

    answer = oip_pb2.ModelInferResponse.FromString(body)
    (at,) = (at for at, one in enumerate(answer.outputs) if one.name == output)
    return np.frombuffer(answer.raw_output_contents[at], TYPES[answer.outputs[at].datatype])


def decimals(values: np.ndarray) -> Any:
    """Return float32 as the shortest decimals that mean them, as a client has them."""
    return np.vectorize(lambda value: float(str(value)), otypes=[object])(values).tolist()


def found(answer: dict[str, Any], output: str) -> dict[str, Any]:
    """Return an output of an answer."""
    (one,) = (one for one in answer["outputs"] if one["name"] == output)
    return dict(one)


V2 = "/v2/models/{model}/infer"
NATIVE = Form("PRISM's JSON", "/model/{model}/predict", ask_native, read_native)
JSON = Form("V2 JSON", V2, ask_json, read_json)
BINARY = Form("V2 binary", V2, ask_binary, read_binary)
GRPC = Form("gRPC", "/inference.GRPCInferenceService/ModelInfer", ask_grpc, read_grpc, grpc=True)
BYTES = Form("PRISM's octet-stream", "/model/{model}/predict", ask_bytes, read_native)
FORMS = (NATIVE, JSON, BINARY, GRPC)
