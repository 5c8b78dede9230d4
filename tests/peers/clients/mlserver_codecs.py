"""MLServer's codecs, as its users send with them: DataFrames, arrays and strings, over REST and over gRPC."""

import json
import urllib.error
import urllib.request

import grpc
import pandas as pd
from mlserver.codecs import NumpyCodec, NumpyRequestCodec, PandasCodec, StringCodec, StringRequestCodec
from mlserver.grpc.converters import ModelInferRequestConverter, ModelInferResponseConverter
from mlserver.grpc.dataplane_pb2_grpc import GRPCInferenceServiceStub
from mlserver.types import InferenceRequest, InferenceResponse
from tensors import packed, unpacked


def send(way, url, model, request):
    """Send a request; return the answer as MLServer's own type."""
    if way == "rest":
        return over_rest(url, model, request)
    with grpc.insecure_channel(url) as channel:
        message = ModelInferRequestConverter.from_types(request, model, use_raw=way == "grpc-raw")
        answer = GRPCInferenceServiceStub(channel).ModelInfer(message, timeout=30)
        return ModelInferResponseConverter.to_types(answer)


def over_rest(url, model, request):
    """Send as its documentation shows it: `model_dump`, with a null for whatever is not said."""
    body = json.dumps(request.model_dump()).encode()
    headers = {"content-type": "application/json"}
    asked = urllib.request.Request(f"{url}/v2/models/{model}/infer", body, headers)
    try:
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return InferenceResponse.model_validate_json(answer.read())
    except urllib.error.HTTPError as error:
        raise ValueError(error.read().decode()) from error


def frame(way, url, model, columns):
    """Ask about a table; return the answer's columns."""
    table = pd.DataFrame(columns)
    # The codec does not know the strings of pandas 3.
    table = table.astype({name: object for name in table if table[name].dtype == "str"})
    request = PandasCodec.encode_request(table, use_bytes=way != "rest")
    answer = PandasCodec.decode_response(send(way, url, model, request))
    return {
        name: [x.decode() if isinstance(x, bytes) else x for x in answer[name].tolist()] for name in answer
    }


def array(way, url, model, tensor):
    """Ask about one array, by the codec of a whole request; return what the model's first output is."""
    request = NumpyRequestCodec.encode_request(unpacked(tensor))
    request.inputs[0].name = tensor["name"]
    answer = NumpyRequestCodec.decode_response(send(way, url, model, request))
    return packed("answer", answer)


def arrays(way, url, model, tensors, wanted):
    """Ask about arrays, by the codec of each; return the wanted outputs, decoded."""
    inputs = [NumpyCodec.encode_input(one["name"], unpacked(one)) for one in tensors]
    request = InferenceRequest(id="seven", inputs=inputs, outputs=[{"name": name} for name in wanted])
    answer = send(way, url, model, request)
    outputs = {one.name: packed(one.name, NumpyCodec.decode_output(one)) for one in answer.outputs}
    return {"id": answer.id, "outputs": outputs}


def strings(way, url, model, name, values):
    """Ask about strings; return the model's first output."""
    request = StringRequestCodec.encode_request(values, use_bytes=way != "rest")
    request.inputs[0].name = name
    answer = send(way, url, model, request)
    return StringCodec.decode_output(answer.outputs[0])
