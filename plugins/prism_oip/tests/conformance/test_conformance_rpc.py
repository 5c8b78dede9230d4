"""Each check of gRPC holds with an honest server and fails with one that breaks it; and who carries calls."""

from __future__ import annotations

from collections.abc import Callable

import grpc
import numpy as np
import pytest

from plugins.prism_oip.tests.conformance.honest import subject
from plugins.prism_oip.tests.conformance.honest_rpc import HonestRpc
from prism_oip.conformance.exchange import Call, Reply, Unmet
from prism_oip.conformance.judging_rpc import CONTENTS, all_of, blamed, inferred, refused, succeeded
from prism_oip.conformance.rpc import open_rpc
from prism_oip.conformance.running import FAILS, HOLDS, NOT_OFFERED, UNTRIED, Patience, judged
from prism_oip.conformance.table import TABLE
from prism_oip.conformance.tensors import DATATYPES, Spec, made
from prism_oip.rpc import oip_pb2 as pb

RPC = {one.name: one for one in TABLE if one.rpc}
Fault = Callable[[Call, Reply], Reply]


def of(method: str, change: Callable[[Reply], Reply]) -> Fault:
    """Return a fault of one method."""
    return lambda call, reply: change(reply) if call.method.endswith(method) else reply


def fields(**values) -> Callable[[Reply], Reply]:
    """Change fields of each message that has them."""

    def change(reply: Reply) -> Reply:
        changed = []
        for one in reply.messages:
            copy = type(one).FromString(one.SerializeToString())
            for name, value in values.items():
                if isinstance(value, list):
                    copy.ClearField(name)
                else:
                    setattr(copy, name, value)
            changed.append(copy)
        return Reply(reply.code, reply.details, tuple(changed))

    return change


def never(reply: Reply) -> Reply:
    return Reply("INTERNAL", "no")


def lenient(call: Call, reply: Reply) -> Reply:
    return reply if reply.code == "OK" else Reply("OK", "", (pb.ModelInferResponse(),))


def asked(name: str, change: Callable[[Reply], Reply]) -> Fault:
    """Return a fault of requests in which a field is told."""
    return lambda call, reply: change(reply) if call.messages[0].get(name) else reply


def more(reply: Reply) -> Reply:
    """Answer other numbers."""
    for one in reply.messages:
        answer = getattr(one, "infer_response", one)
        answer.raw_output_contents[0] = b"\0" * len(answer.raw_output_contents[0])
    return reply


def twice(reply: Reply) -> Reply:
    """Answer one output too many."""
    for one in reply.messages:
        if len(one.outputs) == 1:
            one.outputs.add(name="z", datatype="INT8", shape=[0])
            one.raw_output_contents.append(b"")
    return reply


def at_once(reply: Reply) -> Reply:
    """End a stream where a request in it is wrong."""
    return Reply("INVALID_ARGUMENT", "one is wrong", reply.messages[:1])


def ids_lost(reply: Reply) -> Reply:
    for one in reply.messages:
        one.infer_response.id = "another"
    return reply


FAULTS: dict[str, Fault] = {
    "grpc.live": of("ServerLive", fields(live=False)),
    "grpc.ready": of("ServerReady", fields(ready=False)),
    "grpc.metadata": of("ServerMetadata", fields(name="")),
    "grpc.model-metadata": of("ModelMetadata", fields(outputs=[])),
    "grpc.model-ready": of("ModelReady", fields(ready=False)),
    "grpc.unknown-ready": of("ModelReady", fields(ready=True)),
    "grpc.unknown-metadata": lenient,
    "grpc.typed": of("ModelInfer", more),
    "grpc.raw": of("ModelInfer", more),
    "grpc.id": of("ModelInfer", fields(id="")),
    "grpc.version": of("ModelInfer", fields(model_version="")),
    "grpc.output": of("ModelInfer", twice),
    "grpc.parameters": asked("parameters", never),
    "grpc.unknown-model": lenient,
    "grpc.unknown-code": lambda _, reply: Reply("UNKNOWN", "no") if reply.code == "NOT_FOUND" else reply,
    "grpc.unknown-version": lenient,
    **{f"grpc.{name}": lenient for name in (
        "size", "contents", "typed-size", "inputs", "output-name", "malformed",
    )},
    "grpc.client-code": lambda _, reply: reply if reply.code == "OK" else never(reply),
    "grpc.alive": of("ServerLive", never),
    "grpc.stream": of("ModelStreamInfer", ids_lost),
    "grpc.stream-error": of("ModelStreamInfer", at_once),
    "grpc.statistics": of("ModelStatistics", fields(model_stats=[])),
    "grpc.config": of("ModelConfig", fields(config=[])),
    "grpc.index": of("RepositoryIndex", fields(models=[])),
    "grpc.health": of("Check", fields(status=2)),
    "grpc.reflection": of("ServerReflectionInfo", fields(list_services_response=[])),
}  # fmt: skip


def test_each_check_has_a_fault():
    assert set(FAULTS) == set(RPC)


@pytest.mark.parametrize("typed", [False, True])
@pytest.mark.parametrize("name", RPC)
async def test_a_check_holds_with_an_honest_server(name, typed):
    honest = HonestRpc(typed=typed)

    async def ask(call: Call) -> Reply:
        return honest(call)

    outcome = await judged(RPC[name], subject(), Patience(ask))

    assert (outcome.state, outcome.expected, outcome.found) == (HOLDS, "", "")


@pytest.mark.parametrize("name", RPC)
async def test_a_check_fails_with_a_server_that_breaks_it(name):
    honest = HonestRpc()

    async def ask(call: Call) -> Reply:
        return FAULTS[name](call, honest(call))

    outcome = await judged(RPC[name], subject(), Patience(ask))

    assert outcome.state == FAILS
    assert outcome.expected


@pytest.mark.parametrize("name", ["grpc.stream", "grpc.stream-error", "grpc.health", "grpc.reflection"])
async def test_a_method_that_is_not_there_is_not_offered(name):
    async def ask(call: Call) -> Reply:
        return Reply("UNIMPLEMENTED", "there is none")

    assert (await judged(RPC[name], subject(), Patience(ask))).state == NOT_OFFERED


async def test_without_an_address_nothing_is_asked():
    assert (await judged(RPC["grpc.live"], subject(), None)).state == UNTRIED


OUTPUT = {"name": "y", "datatype": "INT8", "shape": [2]}


@pytest.mark.parametrize(
    "message",
    [
        {"outputs": [OUTPUT]},
        {"outputs": [OUTPUT], "raw_output_contents": [b"\0"]},
        {"outputs": [OUTPUT], "raw_output_contents": [b"\0\0", b""]},
        {"outputs": [{**OUTPUT, "contents": {"int_contents": [1, 128]}}]},
        {"outputs": [{**OUTPUT, "datatype": "FP16", "contents": {"fp32_contents": [1, 2]}}]},
        {"outputs": [{**OUTPUT, "datatype": "FLOAT"}]},
        {"outputs": [{**OUTPUT, "shape": [-2]}]},
        {"outputs": [OUTPUT, OUTPUT], "raw_output_contents": [b"\0\0", b"\0\0"]},
    ],
)
def test_a_message_that_is_not_whole_is_told(message):
    with pytest.raises(Unmet):
        inferred(pb.ModelInferResponse(**message))


@pytest.mark.parametrize("datatype", sorted(CONTENTS))
def test_typed_contents_are_read(datatype):
    tensor = made(Spec("y", datatype, (2, 2)))
    contents = {CONTENTS[datatype]: tensor.values.ravel().tolist()}
    output = {"name": "y", "datatype": datatype, "shape": [2, 2], "contents": contents}

    (read,) = inferred(pb.ModelInferResponse(outputs=[output])).outputs

    assert read.values.dtype == DATATYPES[datatype]
    assert np.array_equal(read.values, tensor.values)


def test_statuses_are_judged():
    assert all_of(Reply("OK", "", (1, 2))) == (1, 2)
    assert blamed(Reply("NOT_FOUND", "no")).code == "NOT_FOUND"
    for judge, reply in (
        (succeeded, Reply("OK", "", (1, 2))), (succeeded, Reply("UNKNOWN", "no")),
        (succeeded, Reply(fault="gone")),
        (refused, Reply("OK")), (refused, Reply("INTERNAL", "")), (refused, Reply(fault="gone")),
        (blamed, Reply("INTERNAL", "no")),
    ):  # fmt: skip
        with pytest.raises(Unmet):
            judge(reply)


async def test_nobody_there_is_a_fault():
    async with open_rpc("127.0.0.1:1", 1.0, {}) as session:
        reply = await session.ask(Call("ServerLive"))

    assert reply.fault.startswith(("UNAVAILABLE", "DEADLINE_EXCEEDED"))


async def test_a_stream_that_ends_while_it_is_sent_to_has_its_status():
    """A server without the method answers before it has heard all."""
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with open_rpc(f"127.0.0.1:{port}", 5.0, {}) as session:
            replies = [await session.ask(Call("ModelStreamInfer", ({},) * 5)) for _ in range(20)]
    finally:
        await server.stop(0)

    assert {one.code for one in replies} == {"UNIMPLEMENTED"}


async def test_what_a_server_of_other_messages_says_is_a_fault():
    """Whatever the bytes are, they are judged, and a server that hangs is left."""
    server = grpc.aio.server()
    newer = pb.ModelMetadataResponse(name="x", inputs=[{"name": "a"}]).SerializeToString()

    async def rubbish(request, context):
        if pb.ModelMetadataRequest.FromString(request).name == "newer":
            return newer + b"\x32\x0a\x0a\x03key\x12\x03\xff\xff\xff"  # its properties are a map of texts
        if request == b"":
            return b"\x0a\xff rubbish"
        await context.abort(grpc.StatusCode.DATA_LOSS, "it was lost")

    handlers = {
        name: grpc.unary_unary_rpc_method_handler(rubbish) for name in ("ServerLive", "ModelMetadata")
    }
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("inference.GRPCInferenceService", handlers),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with open_rpc(f"grpc://127.0.0.1:{port}", 5.0, {"X-Kit": "yes"}) as session:
            live = await session.ask(Call("ServerLive"))
            lost = await session.ask(Call("ModelMetadata", ({"name": "x"},)))
            metadata = await session.ask(Call("ModelMetadata", ({"name": "newer"},)))
            none = await session.ask(Call("ModelInfer", (b"\x0a\xff",)))
    finally:
        await server.stop(0)

    assert "no ServerLiveResponse" in live.fault
    assert (lost.code, lost.details) == ("DATA_LOSS", "it was lost")
    assert none.code == "UNIMPLEMENTED"
    assert succeeded(metadata).inputs[0].name == "a"
