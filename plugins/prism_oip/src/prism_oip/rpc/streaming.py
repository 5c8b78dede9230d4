"""``ModelStreamInfer``: requests as they come, several in flight, answers in the order of the requests.

What one of them fails with is told in its place, and the stream goes on. No more is read than is being
answered: who sends without reading answers is stopped by the flow control of HTTP/2, not by our memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import attrs
import grpc

from prism_core.plugin import Host, Overloaded, reference_to
from prism_oip.rpc import oip_pb2 as pb
from prism_oip.rpc.calls import LEFT, OK, Call, message_of, send
from prism_oip.rpc.flight import Flight
from prism_oip.rpc.inference import predicted
from prism_oip.rpc.scan import scan
from prism_oip.writing.varints import varint

# Requests of one stream that are being answered: as many as fill a batch, far fewer than a queue holds.
MOST = 64
# Their bytes together, beyond which no further one is taken.
MOST_BYTES = 64 * 1024 * 1024

# Of a `ModelStreamInferResponse`: the answer, whose bytes follow their number. And what clients of models
# that answer several times wait for in `parameters`, `triton_final_response`: a model here answers once.
# Two messages one after the other are one message, so it is put behind the answer.
_ANSWER = b"\x12"
FINAL = pb.ModelInferResponse(
    parameters={"triton_final_response": pb.InferParameter(bool_param=True)}
).SerializeToString()


@attrs.define
class Window:
    """How many requests of a stream are in flight, and how many may be."""

    most: int = MOST
    most_bytes: int = MOST_BYTES
    requests: int = 0
    bytes: int = 0
    _room: asyncio.Event = attrs.field(factory=asyncio.Event)

    async def take(self, size: int) -> None:
        """Wait until a request of ``size`` bytes fits; one that is alone always does."""
        while self.requests and (self.requests >= self.most or self.bytes + size > self.most_bytes):
            self._room.clear()
            await self._room.wait()
        self.requests += 1
        self.bytes += size

    def give_back(self, size: int) -> None:
        """Take note that one has been answered, and its answer sent."""
        self.requests -= 1
        self.bytes -= size
        self._room.set()


def streaming(host: Host, flight: Flight, path: str) -> grpc.RpcMethodHandler[Any, Any]:
    """Return the handler of streams; when the server stops they end with what they have in flight."""

    async def handle(requests: AsyncIterator[bytes], context: Any) -> None:
        flight.begin(context)
        stream = Stream(host, context, path)
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(stream.read(requests, group))
            ending = group.create_task(_cancelled_when(reading, flight.stopping))
            await stream.write()
            ending.cancel()
        if flight.stopping.is_set():
            told = host.failed(None, Overloaded("The server is stopping.", details={"retry_after_s": 5}))
            await context.abort(grpc.StatusCode.UNAVAILABLE, message_of(told))

    return grpc.stream_stream_rpc_method_handler(handle)


async def _cancelled_when(task: asyncio.Task[None], stopping: asyncio.Event) -> None:
    await stopping.wait()
    task.cancel()


class Stream:
    """One stream: a task reads, one for each request predicts, and the handler's own writes."""

    def __init__(self, host: Host, context: Any, path: str) -> None:
        self._host = host
        self._context = context
        self._path = path
        self._window = Window()
        self._due: asyncio.Queue[tuple[asyncio.Task[bytes], int] | None] = asyncio.Queue()

    async def read(self, requests: AsyncIterator[bytes], group: asyncio.TaskGroup) -> None:
        """Take requests as long as there are any, and there is room."""
        try:
            async for body in requests:
                await self._window.take(len(body))
                self._due.put_nowait((group.create_task(self._answered(body)), len(body)))
        finally:
            self._due.put_nowait(None)

    async def write(self) -> None:
        """Send the answers, each when all before it have been sent."""
        while (due := await self._due.get()) is not None:
            answering, size = due
            await send(self._context, await answering)
            self._window.give_back(size)

    async def _answered(self, body: bytes) -> bytes:
        call, request = Call(self._host, self._context, self._path), ""
        try:
            name, version, request = scan(body)
            answer, found = await predicted(call, reference_to(name, version), body)
        except asyncio.CancelledError:
            call.note(LEFT)
            raise
        except Exception as error:
            return refused(message_of(call.told(error)), request)
        call.note(OK, len(answer), found)
        return wrapped(answer)


def wrapped(answer: bytes) -> bytes:
    """Return a serialized ``ModelInferResponse`` in a ``ModelStreamInferResponse``; nothing is parsed."""
    return b"".join((_ANSWER, varint(len(answer) + len(FINAL)), answer, FINAL))


def refused(message: str, request: str) -> bytes:
    """Return a ``ModelStreamInferResponse`` that tells why the request with this id has no answer."""
    told = pb.ModelStreamInferResponse(error_message=message)
    told.infer_response.id = request
    return told.SerializeToString() + (_ANSWER + varint(len(FINAL)) + FINAL)
