"""gRPC: the same clauses as over REST, and that both say the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from prism_oip.conformance.check import EXTENSION, RECOMMENDED, REQUIRED, group
from prism_oip.conformance.checks.model import NO_VERSION
from prism_oip.conformance.exchange import Call, NotOffered, Reply, RpcSteps, Unmet, Untried
from prism_oip.conformance.judging import alike, equal
from prism_oip.conformance.judging_rpc import (
    CONTENTS,
    all_of,
    blamed,
    inferred,
    refused,
    spec_of,
    succeeded,
)
from prism_oip.conformance.subject import Subject
from prism_oip.conformance.tensors import Tensor

check = group("grpc", rpc=True)

NO_MODEL = "no-such-model-of-the-kit"
ID = "kit-42"


def offered(reply: Reply, what: str) -> Reply:
    """Judge nothing where a server says that it has no such method."""
    if reply.code == "UNIMPLEMENTED":
        raise NotOffered(f"the server has no {what}")
    return reply


def head_of(one: Tensor, **more: Any) -> dict[str, Any]:
    """Return an input without its data; ``more`` replaces fields."""
    return {"name": one.name, "datatype": one.datatype, "shape": list(one.shape), **more}


def typed_of(one: Tensor, **more: Any) -> dict[str, Any]:
    """Return an input with typed contents.

    Raises
    ------
    Untried
        If its datatype has none.
    """
    if one.datatype not in CONTENTS:
        raise Untried(f"{one.datatype} has no typed contents")
    return head_of(one, contents={CONTENTS[one.datatype]: one.values.ravel().tolist()}, **more)


def raw_infer(subject: Subject, **more: Any) -> dict[str, Any]:
    """Return a request with raw contents, which every datatype has."""
    inputs = subject.asked()
    asked = {"model_name": subject.model.name, "inputs": [head_of(one) for one in inputs]}
    return {**asked, "raw_input_contents": [one.raw() for one in inputs], **more}


def infer(message: Mapping[str, Any] | bytes) -> Call:
    """Return a call of inference."""
    return Call("ModelInfer", (message,))


@check(REQUIRED, "ServerLive", of_model=False)
def live(subject: Subject) -> RpcSteps[None]:
    """``ServerLive`` says that the server lives."""
    equal(succeeded((yield Call("ServerLive"))).live, True, "'live'")


@check(REQUIRED, "ServerReady", of_model=False)
def ready(subject: Subject) -> RpcSteps[None]:
    """``ServerReady`` says that the server is ready where the models are."""
    equal(succeeded((yield Call("ServerReady"))).ready, True, "'ready'")


@check(REQUIRED, "ServerMetadata", of_model=False)
def metadata(subject: Subject) -> RpcSteps[None]:
    """``ServerMetadata`` tells name and version."""
    told = succeeded((yield Call("ServerMetadata")))
    if not (told.name and told.version):
        raise Unmet("a name and a version", f"{told.name!r}, {told.version!r}")


@check(REQUIRED, "ModelMetadata")
def model_metadata(subject: Subject) -> RpcSteps[None]:
    """``ModelMetadata`` tells the name, the inputs and the outputs that REST tells."""
    told = succeeded((yield Call("ModelMetadata", ({"name": subject.model.name},))))
    equal(told.name, subject.model.name, "the model's name")
    equal(tuple(spec_of(one) for one in told.inputs), subject.model.inputs, "the inputs, as REST tells them")
    equal(
        tuple(spec_of(one) for one in told.outputs), subject.model.outputs, "the outputs, as REST tells them"
    )


@check(REQUIRED, "ModelReady")
def model_ready(subject: Subject) -> RpcSteps[None]:
    """``ModelReady`` says that the model which answers is ready."""
    told = succeeded((yield Call("ModelReady", ({"name": subject.model.name},))))
    equal(told.ready, True, "'ready'")


@check(REQUIRED, "ModelReady", of_model=False)
def unknown_ready(subject: Subject) -> RpcSteps[None]:
    """An unknown model is not ready, whether that is said or refused."""
    reply = yield Call("ModelReady", ({"name": NO_MODEL},))
    if reply.code != "OK":
        refused(reply)
    else:
        equal(succeeded(reply).ready, False, "'ready'")


@check(REQUIRED, "ModelMetadata", of_model=False)
def unknown_metadata(subject: Subject) -> RpcSteps[None]:
    """The metadata of an unknown model is refused."""
    refused((yield Call("ModelMetadata", ({"name": NO_MODEL},))))


@check(REQUIRED, "ModelInferRequest, contents")
def typed(subject: Subject) -> RpcSteps[None]:
    """Inputs with typed contents are answered as over REST."""
    inputs = [typed_of(one) for one in subject.asked()]
    message = succeeded((yield infer({"model_name": subject.model.name, "inputs": inputs})))
    alike(inferred(message).outputs, subject.answered(), "by gRPC and by REST")


@check(REQUIRED, "ModelInferRequest, raw_input_contents")
def raw(subject: Subject) -> RpcSteps[None]:
    """Inputs with raw contents are answered as over REST."""
    message = succeeded((yield infer(raw_infer(subject))))
    alike(inferred(message).outputs, subject.answered(), "by gRPC and by REST")


@check(REQUIRED, "ModelInferResponse, id and model_name")
def id(subject: Subject) -> RpcSteps[None]:
    """The answer names the model, and brings the ``id`` of its request back."""
    told = inferred(succeeded((yield infer(raw_infer(subject, id=ID))))).told
    equal(told["model_name"], subject.model.name, "'model_name'")
    equal(told["id"], ID, "'id'")


@check(REQUIRED, "ModelInferRequest, model_version")
def version(subject: Subject) -> RpcSteps[None]:
    """A version that is asked for answers, and says that it was it."""
    wanted = subject.version()
    got = inferred(succeeded((yield infer(raw_infer(subject, model_version=wanted)))))
    equal(got.told["model_version"], wanted, "'model_version'")


@check(REQUIRED, "ModelInferRequest, outputs")
def output(subject: Subject) -> RpcSteps[None]:
    """Each output that is asked for by name comes, and it alone."""
    for one in subject.answered()[:3]:
        got = inferred(succeeded((yield infer(raw_infer(subject, outputs=[{"name": one.name}])))))
        equal(got.names, [one.name], "the outputs")


@check(RECOMMENDED, "ModelInferRequest, parameters")
def parameters(subject: Subject) -> RpcSteps[None]:
    """A parameter that the server does not know, of each of the three types, is let pass."""
    for value in ({"string_param": "text"}, {"int64_param": 7}, {"bool_param": True}):
        message = raw_infer(subject, parameters={"kit_parameter": value})
        inferred(succeeded((yield infer(message))))


@check(REQUIRED, "ModelInfer, status", of_model=False)
def unknown_model(subject: Subject) -> RpcSteps[None]:
    """Inference with an unknown model is refused."""
    inputs = [{"name": "x", "datatype": "FP32", "shape": [1], "contents": {"fp32_contents": [1.0]}}]
    refused((yield infer({"model_name": NO_MODEL, "inputs": inputs})))


@check(RECOMMENDED, "gRPC: NOT_FOUND", of_model=False)
def unknown_code(subject: Subject) -> RpcSteps[None]:
    """An unknown model is refused with NOT_FOUND."""
    reply = yield Call("ModelMetadata", ({"name": NO_MODEL},))
    equal(reply.code, "NOT_FOUND", "the status")


@check(REQUIRED, "ModelInfer, status")
def unknown_version(subject: Subject) -> RpcSteps[None]:
    """Inference with an unknown version is refused."""
    refused((yield infer(raw_infer(subject, model_version=NO_VERSION))))


def _short(subject: Subject) -> dict[str, Any]:
    first, *rest = raw_infer(subject)["raw_input_contents"]
    return raw_infer(subject, raw_input_contents=[first[:-1], *rest])


def _long(subject: Subject) -> dict[str, Any]:
    first, *rest = raw_infer(subject)["raw_input_contents"]
    return raw_infer(subject, raw_input_contents=[first + b"\0", *rest])


def _extra(subject: Subject) -> dict[str, Any]:
    contents = raw_infer(subject)["raw_input_contents"]
    return raw_infer(subject, raw_input_contents=[*contents, b"\0\0\0\0"])


def _few(subject: Subject) -> dict[str, Any]:
    first, *rest = subject.asked()
    shape = [*first.shape[:-1], first.shape[-1] + 1] if first.shape else [2]
    inputs = [typed_of(first, shape=shape), *(typed_of(one) for one in rest)]
    return {"model_name": subject.model.name, "inputs": inputs}


def _missing(subject: Subject) -> dict[str, Any]:
    whole = raw_infer(subject)
    return raw_infer(subject, inputs=whole["inputs"][1:], raw_input_contents=whole["raw_input_contents"][1:])


def _first(subject: Subject, **fields: Any) -> dict[str, Any]:
    first, *rest = subject.asked()
    return raw_infer(subject, inputs=[head_of(first, **fields), *(head_of(one) for one in rest)])


def _stranger(subject: Subject) -> dict[str, Any]:
    return _first(subject, name="no_such_input_of_the_kit")


def _no_type(subject: Subject) -> dict[str, Any]:
    return _first(subject, datatype="FP31")


def _negative(subject: Subject) -> dict[str, Any]:
    return _first(subject, shape=[-size for size in subject.asked()[0].shape] or [-1])


def _no_output(subject: Subject) -> dict[str, Any]:
    return raw_infer(subject, outputs=[{"name": "no_such_output_of_the_kit"}])


WRONG: tuple[Callable[[Subject], dict[str, Any]], ...] = (
    _short, _long, _extra, _few, _missing, _stranger, _no_type, _negative, _no_output,
)  # fmt: skip


@check(REQUIRED, "ModelInferRequest: the size must match the shape")
def size(subject: Subject) -> RpcSteps[None]:
    """Raw contents with bytes too few or too many are refused."""
    for wrong in (_short, _long):
        refused((yield infer(wrong(subject))))


@check(RECOMMENDED, "ModelInferRequest, raw_input_contents: for each tensor")
def contents(subject: Subject) -> RpcSteps[None]:
    """More raw contents than inputs are refused."""
    refused((yield infer(_extra(subject))))


@check(REQUIRED, "InferTensorContents: the size must match the shape")
def typed_size(subject: Subject) -> RpcSteps[None]:
    """Typed contents of fewer elements than the shape says are refused."""
    refused((yield infer(_few(subject))))


@check(REQUIRED, "ModelInferRequest, inputs")
def inputs(subject: Subject) -> RpcSteps[None]:
    """A missing input, an unknown one, an unknown datatype and a negative size are refused."""
    for wrong in (_missing, _stranger, _no_type, _negative):
        refused((yield infer(wrong(subject))))


@check(REQUIRED, "ModelInferRequest, outputs")
def output_name(subject: Subject) -> RpcSteps[None]:
    """An output that the model does not have is refused."""
    refused((yield infer(_no_output(subject))))


@check(REQUIRED, "gRPC: a message that cannot be read", of_model=False)
def malformed(subject: Subject) -> RpcSteps[None]:
    """Bytes that are no ``ModelInferRequest`` are refused."""
    refused((yield infer(b"\x0a\xff\xff\xff\xff\x0f not a message")))


@check(RECOMMENDED, "gRPC: INVALID_ARGUMENT and the like")
def client_code(subject: Subject) -> RpcSteps[None]:
    """Whatever of these is wrong, the status blames the request: INTERNAL is a fault of the server's own."""
    subject.asked()
    for wrong in WRONG:
        try:
            message = wrong(subject)
        except Untried:
            continue  # this one cannot be wrong with this model
        reply = yield infer(message)
        if reply.code != "OK":  # what should have been refused is judged above
            blamed(reply)


@check(REQUIRED, "ServerLive")
def alive(subject: Subject) -> RpcSteps[None]:
    """After all that the server lives, and answers as before."""
    equal(succeeded((yield Call("ServerLive"))).live, True, "'live'")
    message = succeeded((yield infer(raw_infer(subject))))
    alike(inferred(message).outputs, subject.answered(), "before and after wrong requests")


def streamed(messages: Sequence[Any]) -> list[Any]:
    """Judge that the messages of a stream are answers; return these."""
    errors = [one.error_message for one in messages if one.error_message]
    if errors:
        raise Unmet("answers in the stream", f"error_message: {errors[0][:200]}")
    return [one.infer_response for one in messages]


@check(RECOMMENDED, "ModelStreamInfer, as Triton has it")
def stream(subject: Subject) -> RpcSteps[None]:
    """Requests of one stream are answered in it, each with its ``id``, as alone."""
    ids = ["kit-1", "kit-2", "kit-3"]
    asked = tuple(raw_infer(subject, id=one) for one in ids)
    reply = offered((yield Call("ModelStreamInfer", asked)), "ModelStreamInfer")
    answers = streamed(all_of(reply))
    equal(sorted(one.id for one in answers), ids, "the ids of the answers")
    for one in answers:
        alike(inferred(one).outputs, subject.answered(), "in a stream and alone")


@check(RECOMMENDED, "ModelStreamInfer, error_message")
def stream_error(subject: Subject) -> RpcSteps[None]:
    """A wrong request in a stream is answered there with ``error_message``, and the others are answered."""
    asked = (_short(subject), raw_infer(subject, id=ID))
    reply = offered((yield Call("ModelStreamInfer", asked)), "ModelStreamInfer")
    messages = all_of(reply)
    equal(len(messages), 2, "the number of answers")
    equal(sum(bool(one.error_message) for one in messages), 1, "the number of answers with 'error_message'")
    equal([one.infer_response.id for one in messages if not one.error_message], [ID], "the ids of the others")


@check(EXTENSION, "ModelStatistics", extension="statistics")
def statistics(subject: Subject) -> RpcSteps[None]:
    """``ModelStatistics`` counts what succeeded, for each version."""
    told = succeeded((yield Call("ModelStatistics", ({"name": subject.model.name},))))
    if not told.model_stats:
        raise Unmet("statistics of a version", "none")
    if not any(one.inference_stats.success.count for one in told.model_stats):
        raise Unmet("a success that was counted", "none")


@check(EXTENSION, "ModelConfig", extension="model_configuration")
def config(subject: Subject) -> RpcSteps[None]:
    """``ModelConfig`` tells the model's name and tensors."""
    told = succeeded((yield Call("ModelConfig", ({"name": subject.model.name},)))).config
    equal(told.name, subject.model.name, "the model's name")
    equal([one.name for one in told.input], [spec.name for spec in subject.model.inputs], "the inputs")
    equal([one.name for one in told.output], [spec.name for spec in subject.model.outputs], "the outputs")


@check(EXTENSION, "RepositoryIndex", extension="model_repository", of_model=False)
def index(subject: Subject) -> RpcSteps[None]:
    """``RepositoryIndex`` tells all models that are asked here."""
    told = succeeded((yield Call("RepositoryIndex")))
    missing = set(subject.models) - {one.name for one in told.models}
    if missing:
        raise Unmet(f"{', '.join(sorted(missing))} in the index", str([one.name for one in told.models]))


@check(RECOMMENDED, "grpc.health.v1", of_model=False)
def health(subject: Subject) -> RpcSteps[None]:
    """The standard health service says SERVING."""
    reply = offered((yield Call("grpc.health.v1.Health/Check")), "health service")
    equal(succeeded(reply).status, 1, "the status, SERVING")


@check(RECOMMENDED, "grpc.reflection.v1alpha", of_model=False)
def reflection(subject: Subject) -> RpcSteps[None]:
    """Reflection lists the inference service."""
    asked = Call("grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", ({"list_services": ""},))
    told = succeeded(offered((yield asked), "reflection"))
    names = [one.name for one in told.list_services_response.service]
    if "inference.GRPCInferenceService" not in names:
        raise Unmet("inference.GRPCInferenceService among the services", str(names))
