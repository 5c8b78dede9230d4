"""The honest server over gRPC, as a function from a call to a reply."""

from __future__ import annotations

import attrs
import numpy as np
from grpc_health.v1 import health_pb2 as health
from grpc_reflection.v1alpha import reflection_pb2 as reflection

from plugins.prism_oip.tests.conformance.honest import EXTENSIONS, MODEL, Honest, Refused
from prism_oip.conformance.exchange import Call, Reply, Unmet
from prism_oip.conformance.judging_rpc import CONTENTS
from prism_oip.conformance.rpc import method_of
from prism_oip.conformance.subject import Model
from prism_oip.conformance.tensors import DATATYPES, Tensor, from_raw
from prism_oip.rpc import oip_pb2 as pb

CODES = {404: "NOT_FOUND"}


@attrs.define
class HonestRpc:
    """Answers calls; ``typed`` says that outputs have typed contents, where that is possible."""

    model: Model = MODEL
    typed: bool = False

    def __call__(self, call: Call) -> Reply:
        method = method_of(call.method)
        try:
            asked = [self.read(method.asks, one) for one in call.messages]
            if call.method == "ModelStreamInfer":
                return Reply("OK", "", tuple(self.streamed(one) for one in asked))
            answer = getattr(self, call.method.rpartition("/")[2])
            return Reply("OK", "", (answer(asked[0]),))
        except Refused as refused:
            return Reply(CODES.get(refused.status, "INVALID_ARGUMENT"), str(refused))
        except Unmet as unmet:
            return Reply("INVALID_ARGUMENT", f"{unmet.expected}, not {unmet.found}")

    def read(self, kind, message):
        if isinstance(message, bytes):
            raise Refused(400, "it is no message")
        return kind(**message)

    def streamed(self, request):
        try:
            return pb.ModelStreamInferResponse(infer_response=self.ModelInfer(request))
        except (Refused, Unmet) as wrong:
            return pb.ModelStreamInferResponse(error_message=str(wrong))

    def found(self, name: str, version: str = "") -> str:
        return Honest(self.model).found(name, version or None)

    def ServerLive(self, _):
        return pb.ServerLiveResponse(live=True)

    def ServerReady(self, _):
        return pb.ServerReadyResponse(ready=True)

    def ServerMetadata(self, _):
        return pb.ServerMetadataResponse(name="honest", version="1", extensions=EXTENSIONS)

    def ModelReady(self, request):
        return pb.ModelReadyResponse(ready=request.name == self.model.name)

    def ModelMetadata(self, request):
        self.found(request.name)
        sides = {
            side: [{"name": s.name, "datatype": s.datatype, "shape": s.shape} for s in specs]
            for side, specs in (("inputs", self.model.inputs), ("outputs", self.model.outputs))
        }
        return pb.ModelMetadataResponse(
            name=request.name, versions=self.model.versions, platform="kit", **sides
        )

    def ModelConfig(self, request):
        self.found(request.name)
        config = pb.ModelConfig(name=request.name)
        for spec in self.model.inputs:
            config.input.add(name=spec.name)
        for spec in self.model.outputs:
            config.output.add(name=spec.name)
        return pb.ModelConfigResponse(config=config)

    def ModelStatistics(self, request):
        self.found(request.name)
        told = pb.ModelStatisticsResponse()
        told.model_stats.add(name=request.name, version="2").inference_stats.success.count = 1
        return told

    def RepositoryIndex(self, _):
        told = pb.RepositoryIndexResponse()
        told.models.add(name=self.model.name, version="2", state="READY")
        return told

    def Check(self, _):
        return health.HealthCheckResponse(status="SERVING")

    def ServerReflectionInfo(self, _):
        told = reflection.ServerReflectionResponse()
        told.list_services_response.service.add(name="inference.GRPCInferenceService")
        return told

    def ModelInfer(self, request):
        version = self.found(request.model_name, request.model_version)
        inputs = self.inputs(request)
        asked = {"outputs": [{"name": one.name} for one in request.outputs]}
        Honest(self.model).judge(asked, inputs)
        outputs = [Tensor("y", inputs["x"].datatype, inputs["x"].values * 2)]
        outputs += [Tensor("u", "BYTES", inputs["t"].values)] if "t" in inputs else []
        names = {one.name for one in request.outputs}
        told = pb.ModelInferResponse(model_name=request.model_name, model_version=version, id=request.id)
        for one in outputs:
            if not names or one.name in names:
                self.write(told, one)
        return told

    def inputs(self, request) -> dict[str, Tensor]:
        raw = list(request.raw_input_contents)
        if raw and len(raw) != len(request.inputs):
            raise Refused(400, "there are more contents than inputs")
        found = {}
        for at, one in enumerate(request.inputs):
            if one.datatype not in DATATYPES or any(size < 0 for size in one.shape):
                raise Refused(400, "there is no such tensor")
            if raw:
                found[one.name] = from_raw(one.name, one.datatype, one.shape, raw[at])
                continue
            values = list(getattr(one.contents, CONTENTS[one.datatype]))
            if len(values) != np.prod(one.shape):
                raise Refused(400, "the contents have another size")
            found[one.name] = Tensor(one.name, one.datatype, shaped(values, one.datatype, one.shape))
        return found

    def write(self, told, one: Tensor) -> None:
        entry = told.outputs.add(name=one.name, datatype=one.datatype, shape=one.shape)
        if self.typed:
            getattr(entry.contents, CONTENTS[one.datatype]).extend(one.values.ravel().tolist())
        else:
            told.raw_output_contents.append(one.raw())


def shaped(values: list, datatype: str, shape):
    array = np.empty(len(values), DATATYPES[datatype])
    array[:] = values
    return array.reshape(tuple(shape))
