"""KServe's server with a model that doubles numbers: ``kserve_model.py PORT GRPC_PORT``."""

from __future__ import annotations

import sys

import kserve
from kserve import InferOutput, InferResponse
from kserve.utils.utils import generate_uuid

TENSOR = {"datatype": "FP32", "shape": [-1, 3]}


class Twice(kserve.Model):
    """Answers the numbers, doubled, in the form that was asked for."""

    def __init__(self) -> None:
        super().__init__("numbers")
        self.ready = True

    async def get_input_types(self):
        return [{"name": "x", **TENSOR}]

    async def get_output_types(self):
        return [{"name": "y", **TENSOR}]

    def predict(self, payload, headers=None, response_headers=None):
        numbers = payload.inputs[0].as_numpy() * 2
        output = InferOutput("y", list(numbers.shape), "FP32")
        output.set_data_from_numpy(numbers, binary_data=bool(payload.use_binary_outputs))
        return InferResponse(payload.id or generate_uuid(), self.name, [output])


if __name__ == "__main__":
    ports = {"http_port": int(sys.argv[1]), "grpc_port": int(sys.argv[2])}
    kserve.ModelServer(**ports, enable_latency_logging=False).start([Twice()])
