"""The runtime's socket: frames from a gateway, or plain HTTP, told apart by the first bytes."""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
import socket
import sys
from collections.abc import Callable, Iterable
from typing import Any, cast

import msgspec

from prism_core import wire
from prism_core.dialects import Dialects
from prism_core.errors import PrismError, Unauthorized
from prism_core.filling import LARGE_BYTES, Filling, write_all
from prism_core.runtime.batching import Waiting
from prism_core.runtime.combining import Combined, Combiner
from prism_core.runtime.engine import Answered, Engine
from prism_core.runtime.http import Bounds, HttpConnection, full
from prism_core.runtime.large import LargeCall, LargeRequests, Written
from prism_core.runtime.turns import Job
from prism_core.serving import Dialect

# What the last answers have to leave in, where draining took all of its time.
LAST_BYTES_S = 0.5

log = logging.getLogger("prism.runtime")


class Service:
    """What connections share: the engine, or the error with which the model failed to load.

    Parameters
    ----------
    engine
        None while there is only an error to report.
    failure
        Why the model could not be loaded.
    token
        What HELLO must present, "" for nothing.
    warnings, load_ms, framework
        What READY reports beside the signature.
    bounds
        On those who speak HTTP.
    dialects
        In what they may ask for predictions, beside PRISM's own routes.
    """

    def __init__(
        self,
        engine: Engine | None,
        *,
        failure: PrismError | None = None,
        token: str = "",
        warnings: tuple[str, ...] = (),
        load_ms: float = 0.0,
        framework: str = "",
        sandbox: str = "",
        bounds: Bounds = Bounds(),
        dialects: Iterable[Dialect] = (),
    ) -> None:
        self.engine = engine
        self.dialects = Dialects(dialects)
        self.bounds = bounds
        self.large = LargeRequests(engine) if engine else None
        self.combiner = Combiner(engine.session, self.large) if engine and self.large else None
        self.failure = failure
        self.token = token
        self.warnings = warnings
        self.load_ms = load_ms
        self.framework = framework
        self.sandbox = sandbox
        self.draining = asyncio.Event()
        self.reported = asyncio.Event()
        self.connections: set[asyncio.Transport] = set()
        self.empty = asyncio.Event()
        self.empty.set()

    def enter(self, transport: asyncio.Transport) -> None:
        """Take note of a connection."""
        self.connections.add(transport)
        self.empty.clear()

    def leave(self, transport: asyncio.Transport) -> None:
        """Forget a connection that has ended."""
        self.connections.discard(transport)
        if not self.connections:
            self.empty.set()

    def cancel(self, request: Waiting | LargeCall | Job) -> None:
        """Forget what nobody waits for any more."""
        assert self.engine
        assert self.large
        if isinstance(request, Waiting):
            self.engine.cancel(request)
        else:
            self.large.cancel(request)

    async def drain(self) -> None:
        """Return when everything that was asked has been answered."""
        assert self.engine
        assert self.large
        await self.large.drain()
        await self.engine.drain()
        await self.large.drain()  # answers that are being written

    def hello(self, hello: wire.Hello) -> wire.Frame:
        """Return what a HELLO is answered with."""
        if not hmac.compare_digest(hello.token.encode(), self.token.encode()):
            return error_frame(
                0, Unauthorized("The runtime's token is wrong.", hint="Only its gateway may connect.")
            )
        if self.engine is None:
            assert self.failure is not None
            self.reported.set()
            return error_frame(0, self.failure)
        return wire.Ready(
            pid=os.getpid(),
            signature=msgspec.to_builtins(self.engine.session.signature),
            warnings=list(self.warnings),
            load_ms=self.load_ms,
            framework=self.framework,
            sandbox=self.sandbox,
            python=".".join(map(str, sys.version_info[:3])),
        )


def error_frame(call_id: int, error: PrismError) -> wire.Error:
    """Return the frame that carries ``error``."""
    return wire.Error(call_id, error.code, error.message, error.hint, error.details)


class Connection(asyncio.Protocol):
    """The first bytes of a connection decide what it speaks."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._head = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:  # noqa: D102 - asyncio's
        self._transport = cast(asyncio.Transport, transport)
        self._service.enter(self._transport)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: D102 - asyncio's
        self._service.leave(self._transport)

    def data_received(self, data: bytes) -> None:  # noqa: D102 - asyncio's
        self._head += data
        if len(self._head) < 4:
            return
        speaks: Callable[..., Any] = FrameConnection if self._head[3] == 0 else HttpConnection
        protocol = speaks(self._service, self._transport)
        self._transport.set_protocol(protocol)
        protocol.data_received(self._head)


class Stranger(asyncio.Protocol):
    """A connection where there is no gateway: nothing but HTTP is spoken, and not with too many."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def connection_made(self, transport: asyncio.BaseTransport) -> None:  # noqa: D102 - asyncio's
        arrived = cast(asyncio.Transport, transport)
        if len(self._service.connections) >= self._service.bounds.max_connections:
            arrived.write(full())
            arrived.close()
            return
        self._service.enter(arrived)
        arrived.set_protocol(HttpConnection(self._service, arrived))


class FrameConnection(asyncio.Protocol):
    """One gateway: many calls in flight, answers in any order, one write a turn of the loop."""

    def __init__(self, service: Service, transport: asyncio.Transport) -> None:
        self._service = service
        self._transport = transport
        self._receiver = wire.Receiver()
        self._calls: dict[int, Waiting | LargeCall | Job] = {}
        self._out: list[bytes | bytearray | memoryview] = []
        self._greeted = False
        self._reading = False
        self._loop = asyncio.get_running_loop()

    def connection_lost(self, error: Exception | None) -> None:  # noqa: D102 - asyncio's
        self._service.leave(self._transport)
        for request in self._calls.values():
            self._service.cancel(request)
        self._calls.clear()

    def data_received(self, data: bytes) -> None:  # noqa: D102 - asyncio's
        self._reading = True
        try:
            for frame, body in self._receiver.feed(data):
                self._take(frame, body)
            if large := self._receiver.begun(LARGE_BYTES):
                self._fill(*large)
        except wire.WireError as error:
            self._refuse(error)
        # A gateway sends what it has in one write, so there is nothing to wait for: a lone
        # request saves three turns of the loop.
        if self._service.engine:
            self._service.engine.begin()
        self._reading = False
        self._flush()

    def _fill(self, frame: wire.AnyFrame, begun: memoryview, size: int) -> None:
        def done(body: memoryview) -> None:
            try:
                self._take(frame, body)
            except wire.WireError as error:
                self._refuse(error)

        Filling(self._transport, self, begun, size, done)

    def _refuse(self, error: wire.WireError) -> None:
        log.warning("connection.refused %s", error)
        self._flush()
        self._transport.close()

    def _take(self, frame: wire.AnyFrame, body: memoryview) -> None:
        if type(frame) is wire.Call and self._greeted:
            self._call(frame, body)
        elif type(frame) is wire.Hello:
            answer = self._service.hello(frame)
            self._greeted = isinstance(answer, wire.Ready)
            self._send(answer)
            if not self._greeted:
                self._flush()
                self._transport.close()
        elif not self._greeted:
            raise wire.WireError("The first frame must be HELLO.")
        elif type(frame) is wire.Cancel:
            request = self._calls.pop(frame.id, None)
            if request:
                self._service.cancel(request)
        elif type(frame) is wire.Combine:
            self._combine(frame, body)
        elif type(frame) is wire.Ping:
            self._send(self._stats(frame.id))
        elif type(frame) is wire.Drain:
            self._service.draining.set()

    def _call(self, call: wire.Call, body: memoryview) -> None:
        engine = cast(Engine, self._service.engine)
        large = cast(LargeRequests, self._service.large)
        try:
            engine.session.check_accept(call.accept)
            batch = large.read_small(call, body)
            if batch is None:
                self._calls[call.id] = large.submit(
                    call, body, lambda answered: self._answered(call, answered)
                )
                return
            self._calls[call.id] = engine.submit(
                batch, call.timeout_ms / 1000, lambda answered: self._answered(call, answered)
            )
        except PrismError as error:
            self._fail(call, error)
        except Exception:
            self._fail(call, engine.session.internal("A normalizer"))

    def _combine(self, call: wire.Combine, body: memoryview) -> None:
        combiner = cast(Combiner, self._service.combiner)
        job = combiner.begin(call, body, lambda found: self._combined(call, found))
        if job:
            self._calls[call.id] = job

    def _combined(self, call: wire.Combine, found: Combined | Exception) -> None:
        self._calls.pop(call.id, None)
        if isinstance(found, Exception):
            self._fail(call, cast(Combiner, self._service.combiner).failure(found))
        else:
            reply = wire.Reply(call.id, found.media_type, found.rows, 0, 0, int(found.compute_s * 1e6))
            self._send(reply, found.body)

    def _answered(self, call: wire.Call, answered: Answered) -> None:
        self._calls.pop(call.id, None)
        if isinstance(answered.outputs, PrismError):
            self._fail(call, answered.outputs)
            return
        large = cast(LargeRequests, self._service.large)
        written = large.write_small(answered, call)
        if written is None:
            self._calls[call.id] = large.write(
                answered, call, lambda found: self._written(call, answered, found)
            )
            return
        self._written(call, answered, written)

    def _written(self, call: wire.Call, answered: Answered, written: Written | Exception) -> None:
        self._calls.pop(call.id, None)
        if isinstance(written, PrismError):
            self._fail(call, written)
            return
        if isinstance(written, Exception):
            session = cast(Engine, self._service.engine).session
            self._fail(call, session.internal("An encoder", written))
            return
        media_type, body = written
        reply = wire.Reply(
            call.id,
            media_type,
            answered.rows,
            answered.batch_rows,
            int(answered.queue_s * 1e6),
            int(answered.compute_s * 1e6),
        )
        self._send(reply, body)

    def _fail(self, call: wire.Call, error: PrismError) -> None:
        # The trace is in the log already, of a batch mostly; this says whose request it was.
        if call.request and (error_id := error.details.get("error_id")):
            log.error("request.failed error_id=%s request_id=%s", error_id, call.request)
        self._send(error_frame(call.id, error))

    def _stats(self, call_id: int) -> wire.Stats:
        engine = cast(Engine, self._service.engine)
        return wire.Stats(
            call_id, engine.queue.waiting_rows, engine.executions, engine.rows, engine.largest_batch
        )

    def _send(self, frame: wire.Frame, body: bytes | bytearray = b"") -> None:
        if not self._out and not self._reading:
            self._loop.call_soon(self._flush)
        self._out.append(wire.encode(frame, len(body)))
        if body:
            self._out.append(body)

    def _flush(self) -> None:
        if self._out and not self._transport.is_closing():
            write_all(self._transport, self._out)
        self._out = []


async def serve(
    service: Service,
    listener: socket.socket,
    drain_s: float,
    protocol: Callable[[Service], asyncio.Protocol] = Connection,
) -> None:
    """Accept on ``listener`` until draining is asked for and everything has been answered."""
    loop = asyncio.get_running_loop()
    listener.setblocking(False)
    if listener.family == socket.AF_UNIX:
        server = await loop.create_unix_server(lambda: protocol(service), sock=listener)
    else:
        server = await loop.create_server(lambda: protocol(service), sock=listener)
    await service.draining.wait()
    server.close()
    end = loop.time() + drain_s
    if service.engine:
        try:
            await asyncio.wait_for(service.drain(), drain_s)
        except TimeoutError:
            log.warning("runtime.drain_timeout after %s s", drain_s)
        service.engine.close()
        assert service.large
        service.large.close()
    await asyncio.sleep(0)  # the last answers are written at the end of this turn of the loop
    for transport in tuple(service.connections):
        transport.close()
    try:  # an answer may be longer than what the system takes at once
        await asyncio.wait_for(service.empty.wait(), max(LAST_BYTES_S, end - loop.time()))
    except TimeoutError:
        log.warning("runtime.answers_cut connections=%s", len(service.connections))
