"""One call: how it ends, what is told beside its answer, what is written down."""

import asyncio
import struct

import grpc
import pytest

from prism_core import errors
from prism_oip.rpc import bounds
from prism_oip.rpc import oip_pb2 as pb

CODE = grpc.StatusCode
REQUEST = pb.ModelInferRequest(model_name="toy", model_version="2", id="7")


async def echo(message):
    return pb.ModelInferResponse(model_name=message.model_name, id=message.id)


def failing(error):
    async def model(message):
        raise error

    return model


async def failure(call, *args, **options):
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call(*args, **{"timeout": 20, **options})
    return raised.value


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.MalformedBody("No."), CODE.INVALID_ARGUMENT),
        (errors.InvalidInput("No."), CODE.INVALID_ARGUMENT),
        (errors.ModelNotFound("No."), CODE.NOT_FOUND),
        (errors.Unauthorized("No."), CODE.UNAUTHENTICATED),
        (errors.Forbidden("No."), CODE.PERMISSION_DENIED),
        (errors.RateLimited("No."), CODE.RESOURCE_EXHAUSTED),
        (errors.Overloaded("No."), CODE.UNAVAILABLE),
        (errors.ReplicaLost("No."), CODE.UNAVAILABLE),
        (errors.DeadlineExceeded("No."), CODE.DEADLINE_EXCEEDED),
        (errors.ModelFailed("No."), CODE.INTERNAL),
        (ZeroDivisionError("No."), CODE.INTERNAL),
    ],
)
async def test_an_error_has_its_code(toy_host, speaking, error, code):
    host = toy_host(failing(error))
    async with speaking(host) as (_, client):
        told = await failure(client.ModelInfer, REQUEST)

    assert told.code() is code
    assert "No." in told.details()
    assert host.noted == [getattr(error, "status", 500)]


@pytest.mark.parametrize(
    ("details", "seconds"), [({"retry_after_s": 2.1}, "3"), ({"retry_after_s": 0}, "1"), ({}, None)]
)
async def test_when_to_try_again(toy_host, speaking, details, seconds):
    host = toy_host(failing(errors.Overloaded("Full.", details=details)))
    async with speaking(host) as (_, client):
        told = await failure(client.ModelInfer, REQUEST, metadata=(("x-request-id", "mine"),))

    trailing = dict(told.trailing_metadata())
    assert trailing.get("retry-after") == seconds
    assert trailing["x-request-id"] == "mine"


async def test_what_the_door_says_goes_along(toy_host, speaking):
    host = toy_host(echo, lines=b'RateLimit: "key";r=1;t=1\r\n')
    async with speaking(host) as (_, client):
        call = client.ModelInfer(REQUEST, timeout=20)
        await call

        assert dict(await call.trailing_metadata())["ratelimit"] == '"key";r=1;t=1'


async def test_a_route_is_told_who_asks_and_tells_what_it_did(toy_host, speaking):
    host = toy_host(echo, routed=b"x-prism-fallback: model_failed\r\n")
    async with speaking(host) as (_, client):
        call = client.ModelInfer(REQUEST, timeout=20, metadata=(("x-user-id", "7"),))
        await call
        trailing = dict(await call.trailing_metadata())

    assert trailing["x-prism-fallback"] == "model_failed"
    (asked,) = host.asked
    assert (asked["headers"]["x-user-id"], asked["client"]) == ("7", "127.0.0.1")
    assert asked["admitted"].caller


@pytest.mark.parametrize("text", ["half \udc80 a character", "é" * 5000, "line\nfeed"])
async def test_any_message_is_told(toy_host, speaking, text):
    async with speaking(toy_host(failing(errors.InvalidInput(text)))) as (_, client):
        told = await failure(client.ModelInfer, REQUEST)

    assert told.code() is CODE.INVALID_ARGUMENT
    assert told.details()[:4] == text[:4]


async def test_who_is_asked_for_what_and_until_when(toy_host, speaking):
    host = toy_host(echo)
    async with speaking(host) as (_, client):
        await client.ModelInfer(REQUEST, timeout=7, metadata=(("x-tenant", "a"), ("x-tenant", "b")))
        await client.ModelInfer(pb.ModelInferRequest(model_name="toy"))

    (reference, verb, headers, client_, size), _ = host.doors
    assert (reference, verb, client_) == ("toy/2", "predict", "127.0.0.1")
    assert headers["x-tenant"] == "a, b"
    assert size == REQUEST.ByteSize()
    timed, untimed = host.asked
    assert timed["reference"] == "toy/2"
    assert 5 < timed["timeout_s"] < 7.5  # its clock is not quite ours
    assert untimed["timeout_s"] == 0


async def test_what_is_no_message_reaches_no_model(toy_host, speaking):
    host = toy_host(echo)
    async with speaking(host) as (_, client):
        call = client.channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        told = await failure(call, b"\x0a\x7f")

    assert told.code() is CODE.INVALID_ARGUMENT
    assert not host.asked
    assert host.noted == [400]


async def test_a_client_that_leaves_ends_its_prediction(toy_host, speaking):
    begun, ended = asyncio.Event(), asyncio.Event()

    async def slow(message):
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    host = toy_host(slow)
    async with speaking(host) as (_, client), asyncio.timeout(20):
        call = client.ModelInfer(REQUEST)
        await begun.wait()
        call.cancel()
        await ended.wait()
        await host.until_noted(1)

    assert host.noted == [499]


async def test_metadata_have_a_bound(toy_host, speaking):
    async with speaking(toy_host(echo)) as (_, client):
        within = (("authorization", "Bearer " + "x" * (bounds.METADATA_BYTES - 2000)),)
        await client.ModelInfer(REQUEST, metadata=within, timeout=20)
        beyond = (("authorization", "Bearer " + "x" * bounds.MOST_METADATA_BYTES),)

        told = await failure(client.ModelInfer, REQUEST, metadata=beyond)
    assert told.code() is CODE.RESOURCE_EXHAUSTED


async def test_a_connection_has_no_more_calls_at_a_time_than_its_bound(toy_host, speaking, monkeypatch):
    """What is beyond it waits at the client, or is refused, and none of it reaches a model meanwhile."""
    monkeypatch.setattr(bounds, "STREAMS", 16)
    gate, full = asyncio.Event(), asyncio.Event()
    at_a_time = []

    async def waiting(message):
        at_a_time.append(message.id)
        if len(at_a_time) == 16:
            full.set()
        await gate.wait()
        return await echo(message)

    async with speaking(toy_host(waiting)) as (_, client), asyncio.timeout(60):
        calls = [asyncio.ensure_future(refused(client)) for _ in range(40)]
        await full.wait()
        for _ in range(3):  # whatever came beside them has been read as well
            await asyncio.sleep(0.01)
        assert len(at_a_time) == 16
        gate.set()
        codes = {code for code in await asyncio.gather(*calls) if code}
    assert codes <= {CODE.UNAVAILABLE}


async def refused(client):
    """Return the code with which a call ends, None for an answer."""
    try:
        await client.ModelInfer(REQUEST)
    except grpc.aio.AioRpcError as error:
        return error.code()


async def test_a_body_may_be_as_large_as_the_limit_says(toy_host, speaking, around_of):
    host = toy_host(echo, surroundings=around_of(max_body_bytes=100_000))
    async with speaking(host) as (_, client):
        fits = pb.ModelInferRequest(model_name="toy", raw_input_contents=[struct.pack("<q", 1) * 12_000])
        await client.ModelInfer(fits, timeout=20)
        told = await failure(client.ModelInfer, pb.ModelInferRequest(raw_input_contents=[b"x" * 100_001]))

    assert told.code() is CODE.RESOURCE_EXHAUSTED
    assert len(host.asked) == 1


@pytest.mark.parametrize(("size", "answered"), [(99_000, True), (10_000_000, False)])
async def test_a_packed_message_is_unpacked_up_to_the_limit(toy_host, speaking, around_of, size, answered):
    host = toy_host(echo, surroundings=around_of(max_body_bytes=100_000))
    message = pb.ModelInferRequest(model_name="toy", raw_input_contents=[b"\0" * size])
    async with speaking(host) as (_, client):
        call = client.ModelInfer(message, compression=grpc.Compression.Gzip, timeout=20)
        codes = [await call.code()]

    assert codes == [CODE.OK if answered else CODE.RESOURCE_EXHAUSTED]
    assert len(host.asked) == answered
