"""ModelStreamInfer: order, ids, errors in their place, bounds, ends."""

import asyncio
from contextlib import asynccontextmanager, suppress

import grpc
import pytest

from prism_core.errors import InvalidInput, Overloaded
from prism_oip.rpc import oip_pb2 as pb
from prism_oip.rpc.calls import send
from prism_oip.rpc.streaming import Window, refused, wrapped


def request(number, **fields):
    return pb.ModelInferRequest(model_name="toy", id=str(number), **fields)


async def echo(message):
    return pb.ModelInferResponse(model_name="toy", id=message.id, raw_output_contents=[b"x" * 300])


async def failing_at_two(message):
    if message.id == "2":
        raise InvalidInput("Two is no input.", hint="Take another.")
    return await echo(message)


class Gates:
    """A model each of whose answers waits for its gate."""

    def __init__(self):
        self.gates = {}
        self.begun = []
        self.cancelled = []
        self.changed = asyncio.Event()

    def gate(self, number):
        return self.gates.setdefault(str(number), asyncio.Event())

    async def __call__(self, message):
        self.begun.append(message.id)
        self.changed.set()
        try:
            await self.gate(message.id).wait()
        except asyncio.CancelledError:
            self.cancelled.append(message.id)
            self.changed.set()
            raise
        return await echo(message)

    async def until(self, condition):
        while not condition():
            self.changed.clear()
            await self.changed.wait()


async def test_answers_come_in_the_order_of_requests_with_their_ids(toy_host, speaking):
    gates = Gates()
    async with speaking(toy_host(gates)) as (_, client), asyncio.timeout(20):
        stream = client.ModelStreamInfer()
        for number in range(3):
            await stream.write(request(number))
        await gates.until(lambda: len(gates.begun) == 3)  # all at a time
        for number in (2, 1, 0):
            gates.gate(number).set()
        await stream.done_writing()
        answers = [answer async for answer in stream]

    assert [answer.infer_response.id for answer in answers] == ["0", "1", "2"]
    assert answers[0].infer_response.raw_output_contents == [b"x" * 300]
    assert all(answer.infer_response.parameters["triton_final_response"].bool_param for answer in answers)


async def test_an_error_is_told_in_its_place_and_the_stream_goes_on(toy_host, speaking):
    host = toy_host(failing_at_two)
    async with speaking(host) as (_, client), asyncio.timeout(20):
        answers = [answer async for answer in client.ModelStreamInfer(map(request, range(1, 4)))]

    assert [answer.error_message for answer in answers] == ["", "Two is no input. Take another.", ""]
    assert [answer.infer_response.id for answer in answers] == ["1", "2", "3"]
    assert sorted(host.noted) == [200, 200, 422]


async def test_bytes_that_are_no_message_are_an_error_in_their_place(toy_host, speaking):
    async with speaking(toy_host(echo)) as (_, client), asyncio.timeout(20):
        stream = client.channel.stream_stream(
            "/inference.GRPCInferenceService/ModelStreamInfer",
            response_deserializer=pb.ModelStreamInferResponse.FromString,
        )(iter([b"\x0a\xff", request(2).SerializeToString()]))
        answers = [answer async for answer in stream]

    assert answers[0].error_message
    assert answers[1].infer_response.id == "2"


async def test_each_request_of_a_stream_goes_by_the_door(toy_host, speaking):
    host = toy_host(echo, refusal=Overloaded("Too many."))
    async with speaking(host) as (_, client), asyncio.timeout(20):
        metadata = (("authorization", "Bearer secret"),)
        stream = client.ModelStreamInfer(map(request, range(2)), metadata=metadata)
        answers = [answer async for answer in stream]

    assert [answer.error_message for answer in answers] == ["Too many.", "Too many."]
    assert [(door[0], door[1], door[2]["authorization"]) for door in host.doors] == [
        ("toy", "predict", "Bearer secret")
    ] * 2


async def test_a_client_that_leaves_takes_its_requests_along(toy_host, speaking):
    gates = Gates()
    host = toy_host(gates)
    async with speaking(host) as (_, client), asyncio.timeout(20):
        stream = client.ModelStreamInfer()
        await stream.write(request(1))
        await stream.write(request(2))
        await gates.until(lambda: len(gates.begun) == 2)
        stream.cancel()
        await gates.until(lambda: len(gates.cancelled) == 2)
        await host.until_noted(2)

    assert host.noted == [499, 499]


async def test_who_reads_nothing_is_read_no_further(toy_host, speaking):
    """A megabyte an answer, far more than HTTP/2 lets wait: the window is full, and stays so."""

    async def large(message):
        return pb.ModelInferResponse(id=message.id, raw_output_contents=[b"x" * 1_000_000])

    host = toy_host(large)
    async with speaking(host) as (_, client), asyncio.timeout(60):
        stream = client.ModelStreamInfer(map(request, range(200)))
        await host.until_noted(64)
        first = await stream.read()
        assert len(host.noted) < 100

        rest = []
        while (answer := await stream.read()) is not grpc.aio.EOF:
            rest.append(answer)

    assert [first.infer_response.id, *(one.infer_response.id for one in rest)] == [*map(str, range(200))]


async def test_a_stream_ends_when_the_server_stops_with_what_is_in_flight(toy_host, speaking):
    gates = Gates()
    async with speaking(toy_host(gates)) as (face, client), asyncio.timeout(20):
        stream = client.ModelStreamInfer()
        await stream.write(request(1))
        await gates.until(lambda: len(gates.begun) == 1)
        draining = asyncio.create_task(face.drain(20.0))
        await asyncio.sleep(0)
        gates.gate(1).set()

        assert (await stream.read()).infer_response.id == "1"
        with pytest.raises(grpc.aio.AioRpcError, match="stopping") as raised:
            await stream.read()
        assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
        await draining


async def test_the_window_is_of_requests_and_of_bytes():
    window = Window(most=2, most_bytes=100)
    await window.take(1000)  # alone, any
    waiting = asyncio.create_task(window.take(1))
    await asyncio.sleep(0)
    assert not waiting.done()

    window.give_back(1000)
    await waiting
    await window.take(99)
    third = asyncio.create_task(window.take(0))
    await asyncio.sleep(0)
    assert not third.done()
    window.give_back(99)
    await third
    assert (window.requests, window.bytes) == (2, 1)


@pytest.mark.parametrize("size", [0, 1, 126, 127, 128, 16_383, 16_384, 2_097_152])
def test_an_answer_is_wrapped_without_being_parsed(size):
    inner = pb.ModelInferResponse(model_name="toy", id="7", raw_output_contents=[b"\x00" * size])

    told = pb.ModelStreamInferResponse.FromString(wrapped(inner.SerializeToString()))

    inner.parameters["triton_final_response"].bool_param = True
    assert told.infer_response == inner
    assert not told.error_message


def test_a_refusal_has_the_id_of_its_request():
    told = pb.ModelStreamInferResponse.FromString(refused("No.", "7"))

    assert (told.error_message, told.infer_response.id) == ("No.", "7")


async def test_a_failing_write_is_a_client_that_has_gone():
    """The library says either; an error would be told as one of ours, with a trace, in the log."""

    class Gone:
        async def write(self, message):
            raise RuntimeError("Failed 'execute_batch'.")

    with pytest.raises(asyncio.CancelledError):
        await send(Gone(), b"")


async def test_connections_that_break_leave_nothing_in_the_log(toy_host, speaking, new_client, caplog):
    """A relay between client and server drops both of its connections, each time at another moment."""

    async def large(message):
        await asyncio.sleep(0.001)
        return pb.ModelInferResponse(id=message.id, raw_output_contents=[b"x" * 200_000])

    caplog.set_level("ERROR", "grpc._cython.cygrpc")
    async with speaking(toy_host(large)) as (face, _), asyncio.timeout(60):
        for answers in range(0, 40, 2):
            async with relay(face) as (target, broken), grpc.aio.insecure_channel(target) as channel:
                stream = new_client(channel).ModelStreamInfer(map(request, range(200)))
                for _ in range(answers):
                    await stream.read()
                broken.set()
                with pytest.raises(grpc.aio.AioRpcError):
                    await rest_of(stream)

    assert not caplog.records


async def rest_of(stream):
    while await stream.read() is not grpc.aio.EOF:
        pass


@asynccontextmanager
async def relay(face):
    """Lead to a face until an event is set; then drop everything."""
    broken = asyncio.Event()
    port = int(face.url.rpartition(":")[2])

    async def lead(reader, writer):
        theirs, ours = await asyncio.open_connection("127.0.0.1", port)
        pumps = [asyncio.create_task(pump(reader, ours)), asyncio.create_task(pump(theirs, writer))]
        await broken.wait()
        for one in pumps:
            one.cancel()
        for end in (ours, writer):
            end.transport.abort()

    async with await asyncio.start_server(lead, "127.0.0.1", 0) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", broken
        broken.set()


async def pump(reader, writer):
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
