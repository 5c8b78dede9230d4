"""What is told without a prediction: the server, models, statistics, the repository.

Answers are made in `prism_oip.told`, as REST's are; here they become messages.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import attrs
from google.protobuf.json_format import ParseDict
from google.protobuf.message import DecodeError, Message

from prism_core.plugin import Caller, Forbidden, MalformedBody, ModelNotFound, reference_to
from prism_oip import told
from prism_oip.rest.bodies import check_load, check_unload
from prism_oip.rpc import oip_pb2 as pb
from prism_oip.rpc.calls import Call, Work

# Who may ask: a caller who may see the model, or anybody (None).
Asks = Callable[[Any], str | None]
Filled = TypeVar("Filled", bound=Message)


@attrs.frozen
class Method:
    """A method whose request and answer are small messages."""

    name: str
    request: type[Message]
    answer: Callable[[Call, Any, Caller], Awaitable[Message]]
    asks: Asks = lambda request: None


def work_of(method: Method) -> Work:
    """Return what answers a call of ``method``."""

    async def work(call: Call, body: bytes) -> tuple[bytes, None]:
        request = parsed(method.request, body)
        model = method.asks(request)
        caller = Caller() if model is None else call.enter(model, "read").caller
        return (await method.answer(call, request, caller)).SerializeToString(), None

    return work


def parsed(kind: type[Message], body: bytes) -> Message:
    """Return the message that ``body`` is, or raise `MalformedBody`."""
    try:
        return kind.FromString(body)
    except DecodeError as error:
        raise MalformedBody(f"The body is no {kind.DESCRIPTOR.name}.", hint="See oip.proto.") from error


def filled(message: Filled, values: Mapping[str, Any]) -> Filled:
    """Return ``message`` with the values of a dict whose keys are its fields."""
    ParseDict(dict(values), message)
    return message


# --- the server -------------------------------------------------------------------------


async def _live(call: Call, request: Any, caller: Caller) -> Message:
    return pb.ServerLiveResponse(live=True)


async def _ready(call: Call, request: Any, caller: Caller) -> Message:
    return pb.ServerReadyResponse(ready=call.host.settled())


async def _server(call: Call, request: Any, caller: Caller) -> Message:
    return filled(pb.ServerMetadataResponse(), told.server(call.host.version, told.RPC))


# --- a model ----------------------------------------------------------------------------


def _of_model(request: Any) -> str:
    return reference_to(request.name, request.version)


async def _model_ready(call: Call, request: Any, caller: Caller) -> Message:
    try:
        ready = call.host.find(_of_model(request)).ready
    except ModelNotFound:  # clients wait until it is true for models that are to be loaded
        ready = False
    return pb.ModelReadyResponse(ready=ready)


async def _metadata(call: Call, request: Any, caller: Caller) -> Message:
    found = call.host.find(_of_model(request))
    served = [one.version for one in call.host.served(caller) if one.model == found.model and one.ready]
    values = told.metadata(found, served)
    outputs = [_with_messages(one) for one in values["outputs"]]
    return filled(pb.ModelMetadataResponse(), values | {"outputs": outputs})


def _with_messages(tensor: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is told of a tensor, its parameters, which are all bool, as messages."""
    parameters = {name: {"bool_param": value} for name, value in tensor.get("parameters", {}).items()}
    return {**tensor, "parameters": parameters}


async def _config(call: Call, request: Any, caller: Caller) -> Message:
    found = call.host.find(_of_model(request))
    return pb.ModelConfigResponse(config=filled(pb.ModelConfig(), told.config(found)))


async def _statistics(call: Call, request: Any, caller: Caller) -> Message:
    model, version = "", None
    if request.name:
        found = call.host.find(_of_model(request))
        model, version = found.model, found.version if found_one(request) else None
    counted = await call.host.statistics(model, version)
    shown = [one for one in counted if caller.may("read", one.model)]
    return filled(pb.ModelStatisticsResponse(), told.statistics(shown))


def found_one(request: Any) -> bool:
    """Return whether a request names a version, not all of a model's."""
    return bool(request.version) or "@" in request.name


# --- the repository ---------------------------------------------------------------------


async def _index(call: Call, request: Any, caller: Caller) -> Message:
    listed = told.index(call.host.served(caller), ready=request.ready)
    return filled(pb.RepositoryIndexResponse(), {"models": listed})


async def _load(call: Call, request: Any, caller: Caller) -> Message:
    model = _owned(call, request, check_load)
    await call.host.start(model)
    return pb.RepositoryModelLoadResponse(model_name=model, isLoaded=True)


async def _unload(call: Call, request: Any, caller: Caller) -> Message:
    model = _owned(call, request, check_unload)
    await call.host.stop(model)
    return pb.RepositoryModelUnloadResponse(model_name=model, isUnloaded=True)


def _owned(call: Call, request: Any, check: Callable[[Mapping[str, Any]], None]) -> str:
    """Return the model that the owner wants changed."""
    if not call.host.is_owner(call.headers, call.client):
        raise Forbidden(
            "Only the owner loads and unloads, from this machine.",
            hint="Send the metadata `authorization: Bearer TOKEN` with the text of admin-token.",
        )
    check({name: _value(one) for name, one in request.parameters.items()})
    # KServe has no repository_name, and its model_name is where that is here.
    return str(request.model_name or request.repository_name)


def _value(parameter: Any) -> Any:
    kind = parameter.WhichOneof("parameter_choice")
    return getattr(parameter, kind) if kind else None


def _everything(request: Any) -> str:
    return ""


def _of_some(request: Any) -> str:
    return _of_model(request) if request.name else ""


METHODS = (
    Method("ServerLive", pb.ServerLiveRequest, _live),
    Method("ServerReady", pb.ServerReadyRequest, _ready),
    Method("ServerMetadata", pb.ServerMetadataRequest, _server, _everything),
    Method("ModelReady", pb.ModelReadyRequest, _model_ready, _of_model),
    Method("ModelMetadata", pb.ModelMetadataRequest, _metadata, _of_model),
    Method("ModelConfig", pb.ModelConfigRequest, _config, _of_model),
    Method("ModelStatistics", pb.ModelStatisticsRequest, _statistics, _of_some),
    Method("RepositoryIndex", pb.RepositoryIndexRequest, _index, _everything),
    Method("RepositoryModelLoad", pb.RepositoryModelLoadRequest, _load),
    Method("RepositoryModelUnload", pb.RepositoryModelUnloadRequest, _unload),
)
