"""One connection to one replica, with many calls in flight.

Frames of one turn of the event loop leave in one write. A call that nobody waits for any
more is cancelled in the runtime too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol, cast

import structlog

from prism_core import wire
from prism_core.errors import NotReadyInTime, ReplicaLost, error_from_code
from prism_core.filling import LARGE_BYTES, Filling, make_room, write_all

# The runtime drops what has expired before it is computed; it gets this much longer to say
# so itself, so that the answer names the queue and not just the clock.
GRACE_S = 0.05
# `connect` has its own time limit; this one only has to be longer.
GREET_S = 86_400.0
NOTHING = memoryview(b"")

log = structlog.get_logger("prism.gateway")

# Called once with a frame that is no ERROR and its body, or with why there is none.
OnReply = Callable[[wire.AnyFrame | Exception, memoryview], None]


class CallHead(Protocol):
    """What `wire.Call` says beside its number and its deadline."""

    @property
    def media_type(self) -> str:
        """The body's media type."""

    @property
    def accept(self) -> str:
        """The Accept header."""

    @property
    def query(self) -> str:
        """The raw query string."""

    @property
    def style(self) -> str:
        """The response style."""


class ReplicaClient(asyncio.Protocol):
    """The gateway's end of a replica's socket. Made by `connect`.

    Attributes
    ----------
    ready
        What the runtime said when it was ready.
    token
        What it was greeted with.
    lost
        Whether the connection is gone.
    """

    ready: wire.Ready
    token = ""

    def __init__(self, address: str, on_lost: Callable[[ReplicaClient], None]) -> None:
        self.address = address
        self.lost = False
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._receiver = wire.Receiver()
        self._calls: dict[int, tuple[float, OnReply]] = {}
        self._out: list[bytes | bytearray | memoryview] = []
        self._last_id = 0
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    @property
    def in_flight(self) -> int:
        """Calls that are waiting for their answer."""
        return len(self._calls)

    @property
    def calls(self) -> int:
        """Calls so far, signs of life among them."""
        return self._last_id

    def ask(
        self, head: CallHead, body: bytes | memoryview, timeout_s: float, answer: OnReply, request: str = ""
    ) -> int:
        """Send a call and return its number; ``request`` is its X-Request-Id.

        ``answer`` is called once, never before this returns: with the `wire.Reply` and its body, or with
        the `PrismError` that the runtime answered, `ReplicaLost` if it went away first, or
        `TimeoutError` if there is no answer `GRACE_S` after ``timeout_s``.
        """
        call_id = self._next_id()
        timeout_ms = max(0.001, timeout_s * 1000)
        call = wire.Call(call_id, head.media_type, head.accept, timeout_ms, head.query, head.style, request)
        self._send_call(call_id, call, timeout_s + GRACE_S, body, answer)
        return call_id

    def combine(
        self,
        head: CallHead,
        combination: bytes,
        answers: Mapping[int, bytes | memoryview],
        body: bytes | memoryview,
        timeout_s: float,
        answer: OnReply,
        request: str = "",
    ) -> int:
        """Send the answers of an ensemble's members, by their places; see `wire.Combine` and `ask`."""
        call_id = self._next_id()
        timeout_ms = max(0.001, timeout_s * 1000)
        parts = [body, *answers.values()]
        frame = wire.Combine(
            call_id,
            head.media_type,
            head.accept,
            timeout_ms,
            head.query,
            head.style,
            request,
            combination,
            list(answers),
            list(map(len, parts)),
        )
        self._send_call(call_id, frame, timeout_s + GRACE_S, b"", answer)
        if not self.lost:  # the parts leave as they are, behind a prefix that counts them all
            self._out[-1] = wire.encode(frame, sum(frame.sizes))
            self._out += filter(len, parts)
        return call_id

    def cancel(self, call_id: int) -> None:
        """Forget a call, and let the runtime drop it."""
        if self._calls.pop(call_id, None) and not self.lost:
            self._send(wire.Cancel(call_id))

    def let_go(self, call_id: int, ended: OnReply) -> None:
        """Wait no longer for a call.

        Behind others it is cancelled in the runtime. Alone it is being computed, which nothing breaks off: it
        is in flight until it ends, as the replica has that to do, and ``ended`` hears how.
        """
        call = self._calls.get(call_id)
        if call is not None and len(self._calls) == 1:
            self._calls[call_id] = (call[0], ended)
        else:
            self.cancel(call_id)

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
        return cast(wire.Stats, await self._awaited(call_id, wire.Ping(call_id), timeout_s))

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

    def _send_call(
        self, call_id: int, frame: wire.Frame, timeout_s: float, body: bytes | memoryview, answer: OnReply
    ) -> None:
        if self.lost:
            self._loop.call_soon(answer, _gone(), NOTHING)
            return
        ends = self._loop.time() + timeout_s
        self._calls[call_id] = (ends, answer)
        self._send(frame, body)
        if self._timer is None or ends < self._timer_at:
            self._arm(ends)

    async def _awaited(self, call_id: int, frame: wire.Frame, timeout_s: float) -> wire.AnyFrame:
        future: asyncio.Future[wire.AnyFrame] = self._loop.create_future()
        self._send_call(call_id, frame, timeout_s, b"", partial(_settle, future))
        try:
            return await future
        finally:
            self._calls.pop(call_id, None)

    # --- the clock: one timer for all calls, at the earliest of their ends ---------------

    def _arm(self, at: float) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._loop.call_at(at, self._expire)

    def _expire(self) -> None:
        self._timer = None
        now = self._loop.time()
        for call_id, (ends, answer) in list(self._calls.items()):
            if ends <= now:
                self.cancel(call_id)
                _tell(answer, TimeoutError())
        if self._calls:
            self._arm(min(ends for ends, _ in self._calls.values()))

    # --- the socket ------------------------------------------------------------------

    def _send(self, frame: wire.Frame, body: bytes | memoryview = b"") -> None:
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(wire.encode(frame, len(body)))
        if body:
            self._out.append(body)

    def _flush(self) -> None:
        if self._out and self._transport and not self.lost:
            write_all(self._transport, self._out)
        self._out = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:  # noqa: D102 - asyncio's
        self._transport = cast(asyncio.Transport, transport)
        make_room(transport)

    def data_received(self, data: bytes) -> None:  # noqa: D102 - asyncio's
        try:
            for frame, body in self._receiver.feed(data):
                self._take(frame, body)
            if large := self._receiver.begun(LARGE_BYTES):
                frame, begun, size = large
                assert self._transport is not None
                Filling(self._transport, self, begun, size, partial(self._take, frame))
        except wire.WireError:
            assert self._transport is not None
            self._transport.abort()

    def _take(self, frame: wire.AnyFrame, body: memoryview) -> None:
        call = self._calls.pop(getattr(frame, "id", 0), None)
        if call is not None:
            _tell(call[1], frame, body)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: D102 - asyncio's
        self._lose()

    def _lose(self) -> None:
        if self.lost:
            return
        self.lost = True
        if self._timer:
            self._timer.cancel()
        self._on_lost(self)  # first, so that nothing more is sent here
        # Still counted as in flight while they are told: how many were lost together says much of each.
        for call_id, (_, answer) in list(self._calls.items()):
            if call_id in self._calls:  # else it was cancelled by somebody who was told
                _tell(answer, _gone())
        self._calls.clear()

    async def greet(self, token: str) -> None:
        """Say HELLO and wait for READY; `connect` does it."""
        self.token = token
        self.ready = cast(wire.Ready, await self._awaited(0, wire.Hello(token=token), GREET_S))


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


def _tell(answer: OnReply, outcome: wire.AnyFrame | Exception, body: memoryview = NOTHING) -> None:
    if type(outcome) is wire.Error:
        outcome = error_from_code(outcome.code, outcome.message, outcome.hint, outcome.details)
    try:
        answer(outcome, body)
    except Exception:  # one caller's fault must not end the connection that all share
        log.exception("client.answer_failed")


def _settle(
    future: asyncio.Future[wire.AnyFrame], outcome: wire.AnyFrame | Exception, body: memoryview
) -> None:
    if future.done():
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)


def _gone() -> ReplicaLost:
    return ReplicaLost(
        "The replica went away with the request in flight.",
        hint="`prism logs` shows its last words; try again.",
    )
