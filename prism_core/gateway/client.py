"""One connection to one replica, with many calls in flight.

Frames of one turn of the event loop leave in one write. A call that nobody waits for any
more is cancelled in the runtime too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from prism_core import wire
from prism_core.errors import NotReadyInTime, PrismError, ReplicaLost, error_from_code

# The runtime drops what has expired before it is computed; it gets this much longer to say
# so itself, so that the answer names the queue and not just the clock.
GRACE_S = 0.05


class ReplicaClient(asyncio.Protocol):
    """The gateway's end of a replica's socket. Made by `connect`.

    Attributes
    ----------
    ready
        What the runtime said when it was ready.
    in_flight
        Calls that are waiting for their answer.
    """

    ready: wire.Ready

    def __init__(self, address: str, on_lost: Callable[[ReplicaClient], None]) -> None:
        self.address = address
        self.lost = False
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._receiver = wire.Receiver()
        self._futures: dict[int, asyncio.Future[tuple[wire.AnyFrame, memoryview]]] = {}
        self._out: list[bytes] = []
        self._last_id = 0
        self._transport: asyncio.Transport | None = None

    @property
    def in_flight(self) -> int:
        """Calls that are waiting for their answer."""
        return len(self._futures)

    async def call(
        self, body: bytes, media_type: str, accept: str, timeout_s: float, query: str, style: str
    ) -> tuple[wire.Reply, memoryview]:
        """Send a call (fields as in `wire.Call`) and return its reply and body.

        Raises
        ------
        TimeoutError
            If there is no answer `GRACE_S` after ``timeout_s``.
        PrismError
            What the runtime answered; `ReplicaLost` if it went away first.
        """
        call_id = self._next_id()
        call = wire.Call(call_id, media_type, accept, max(0.001, timeout_s * 1000), query, style)
        frame, answer = await self._ask(call_id, call, timeout_s + GRACE_S, body)
        if type(frame) is wire.Reply:
            return frame, answer
        raise _as_error(frame)

    async def ping(self, timeout_s: float) -> wire.Stats:
        """Return the runtime's counters.

        Raises
        ------
        TimeoutError
            If it does not answer in time: it hangs.
        ReplicaLost
            If it is gone.
        """
        call_id = self._next_id()
        frame, _ = await self._ask(call_id, wire.Ping(call_id), timeout_s)
        return cast(wire.Stats, frame)

    def drain(self) -> None:
        """Ask the runtime to answer what it has and to exit."""
        self._send(wire.Drain())

    async def close(self) -> None:
        """Close the connection; calls in flight fail with `ReplicaLost`."""
        if self._transport:
            self._transport.close()
        self._lose()

    def _next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    async def _ask(
        self, call_id: int, frame: wire.Frame, timeout_s: float, body: bytes = b""
    ) -> tuple[wire.AnyFrame, memoryview]:
        if self.lost:
            raise _gone()
        future: asyncio.Future[tuple[wire.AnyFrame, memoryview]] = self._loop.create_future()
        self._futures[call_id] = future
        self._send(frame, body)
        # A timer of our own: `asyncio.timeout` costs twice as much.
        timer = self._loop.call_later(timeout_s, _expire, future)
        try:
            return await future
        finally:
            timer.cancel()
            if self._futures.pop(call_id, None) and not self.lost:  # nobody waits for it any more
                self._send(wire.Cancel(call_id))

    def _send(self, frame: wire.Frame, body: bytes = b"") -> None:
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(wire.encode(frame, len(body)))
        if body:
            self._out.append(body)

    def _flush(self) -> None:
        if self._transport and not self.lost:
            self._transport.write(b"".join(self._out))
        self._out.clear()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:  # noqa: D102 - asyncio's
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:  # noqa: D102 - asyncio's
        try:
            for frame, body in self._receiver.feed(data):
                future = self._futures.pop(getattr(frame, "id", 0), None)
                if future and not future.done():
                    future.set_result((frame, body))
        except wire.WireError:
            assert self._transport is not None
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:  # noqa: D102 - asyncio's
        self._lose()

    def _lose(self) -> None:
        if self.lost:
            return
        self.lost = True
        for future in self._futures.values():
            if not future.done():
                future.set_exception(_gone())
        self._futures.clear()
        self._on_lost(self)

    async def greet(self, token: str) -> None:
        """Say HELLO and wait for READY; `connect` does it."""
        future = self._futures[0] = self._loop.create_future()
        self._send(wire.Hello(token=token))
        frame, _ = await future
        if type(frame) is not wire.Ready:
            raise _as_error(frame)
        self.ready = frame


async def connect(
    address: str, *, token: str = "", timeout_s: float, on_lost: Callable[[ReplicaClient], None]
) -> ReplicaClient:
    """Connect to ``unix:PATH`` or ``tcp:HOST:PORT`` and wait until the model there is ready.

    ``on_lost`` is called once, when the connection ends for whatever reason; not when this
    function raises.

    Raises
    ------
    PrismError
        Why the model did not load, as the runtime tells it.
    NotReadyInTime, ReplicaLost
        If it says nothing in time, or goes away.
    """
    greeted = False

    def lost(client: ReplicaClient) -> None:
        if greeted:
            on_lost(client)

    client = ReplicaClient(address, lost)
    loop = asyncio.get_running_loop()
    scheme, _, rest = address.partition(":")
    try:
        async with asyncio.timeout(timeout_s):
            if scheme == "unix":
                await loop.create_unix_connection(lambda: client, rest)
            else:
                host, _, port = rest.rpartition(":")
                await loop.create_connection(lambda: client, host, int(port))
            await client.greet(token)
    except TimeoutError as error:
        await client.close()
        raise NotReadyInTime(
            f"The replica was not ready within {timeout_s:g} s.",
            hint="`prism logs` shows how far it came; limits.ready_s allows it more time.",
        ) from error
    except OSError as error:
        raise ReplicaLost("The replica's socket cannot be reached.") from error
    except BaseException:
        await client.close()
        raise
    greeted = True
    return client


def _expire(future: asyncio.Future[Any]) -> None:
    if not future.done():
        future.set_exception(TimeoutError())


def _as_error(frame: wire.AnyFrame) -> PrismError:
    if type(frame) is wire.Error:
        return error_from_code(frame.code, frame.message, frame.hint, frame.details)
    return ReplicaLost(f"The replica answered with an unexpected {type(frame).__name__} frame.")


def _gone() -> ReplicaLost:
    return ReplicaLost(
        "The replica went away with the request in flight.",
        hint="`prism logs` shows its last words; try again.",
    )
