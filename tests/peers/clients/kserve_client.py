"""KServe's client, as its users call it: over REST and over gRPC, with typed values or raw tensors."""

import asyncio

import grpc
import httpx
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput
from tensors import packed, unpacked


def request_of(model, inputs, binary, wanted, parameters):
    """Return a request, as the client takes it for both ways."""
    tensors = []
    for tensor in inputs:
        one = InferInput(tensor["name"], tensor["shape"], tensor["datatype"])
        one.set_data_from_numpy(unpacked(tensor), binary_data=binary)
        tensors.append(one)
    outputs = (
        None if wanted is None else [RequestedOutput(n, {"binary_data": raw}) for n, raw in wanted.items()]
    )
    return InferRequest(model, tensors, request_id="seven", parameters=parameters, request_outputs=outputs)


def answer_of(response):
    """Return an answer: what it says of itself, and its tensors."""
    tensors = {one.name: packed(one.name, one.as_numpy(), one.datatype) for one in response.outputs}
    return {"id": response.id, "model": response.model_name, "outputs": tensors}


def infer(way, url, model, inputs, binary, wanted=None, parameters=None):
    """Ask for a prediction over ``rest`` or ``grpc``; an error of the server is a value."""

    async def ask():
        request = request_of(model, inputs, binary, wanted, parameters)
        if way == "grpc":
            async with InferenceGRPCClient(url) as client:
                return answer_of(await client.infer(request))
        async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
            return answer_of(await client.infer(url, request, model_name=model))

    try:
        return asyncio.run(ask())
    except grpc.RpcError as error:
        return {"error": error.details(), "status": error.code().name}
    except httpx.HTTPStatusError as error:
        return {"error": str(error), "status": error.response.status_code}


def native(url, model, body):
    """Ask over the V1 protocol, with a body of its own."""

    async def ask():
        async with InferenceRESTClient(RESTConfig(protocol="v1")) as client:
            return await client.infer(url, body, model_name=model)

    return asyncio.run(ask())


def health(rest, url, model):
    """Return what both clients say of the server and of a model."""

    async def ask():
        async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
            over_rest = [
                await client.is_server_live(rest),
                await client.is_server_ready(rest),
                await client.is_model_ready(rest, model),
                await client.is_model_ready(rest, "nobody"),
            ]
        async with InferenceGRPCClient(url) as client:
            return over_rest, [
                await client.is_server_live(),
                await client.is_server_ready(),
                await client.is_model_ready(model),
            ]

    return asyncio.run(ask())
