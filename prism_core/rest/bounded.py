"""uvicorn's HTTP protocol with bounds: on heads, on time, on what one client can make us remember.

One timer a connection serves all deadlines. Nothing moves it while requests come whole:
it looks what is due when it fires, and is brought forward only where something begins
that must end sooner (half a head, half a body, an answer that is not taken).
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from prism_core.errors import HeadTooLarge, MalformedRequest, PrismError, RequestTooSlow, TargetTooLong
from prism_core.rest.errors import problem_response
from prism_core.rest.onewrite import OneWrite
from prism_core.rest.patience import LINGER_S, Due, Owed, deadline
from prism_core.rest.requests import HEADER, made_id
from prism_core.settings import LimitSettings

# Requests of one connection that may wait behind the one being answered. Eighteen bytes
# are a request, and each that waits here takes a kilobyte.
MAX_PIPELINED = 64

BETWEEN, HEAD, BODY = range(3)


def _unanswered(cycle: RequestResponseCycle | None) -> bool:
    return cycle is not None and not cycle.response_complete


class BoundedProtocol(HttpToolsProtocol):
    """One connection.

    Parameters
    ----------
    limits
        The bounds.
    """

    transport: OneWrite  # type: ignore[assignment]

    def __init__(self, limits: LimitSettings, **uvicorn: Any) -> None:
        super().__init__(**uvicorn)
        self.limits = limits
        self._phase = BETWEEN
        self._head_bytes = 0
        self._since = 0.0  # when the client began what is due; 0: nothing is half here
        self._got = 0  # bytes of it since then
        self._framing = 0  # bytes since the last ones of a body
        self._used_at = 0.0
        self._unsent, self._unsent_at = 0, 0.0
        self._refusal: PrismError | None = None
        self._deaf = False  # answer what is due, then close
        self._watch: asyncio.TimerHandle | None = None

    # --- in ------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin a connection."""
        super().connection_made(cast(asyncio.Transport, OneWrite(transport, self.loop)))
        self._used_at = self.loop.time()
        self._watch = self.loop.call_later(self.limits.idle_s, self._look)

    def data_received(self, data: bytes) -> None:
        """Take what the client sent."""
        if self._deaf or self.transport.is_closing():
            return
        self._framing += len(data)
        super().data_received(data)
        if self._phase and not self._deaf:
            self._wait_on(len(data))

    def _wait_on(self, size: int) -> None:
        """Take note that half a request is here."""
        if not self._since:
            self._since, self._got = self.loop.time(), 0
            self._look_within(self.limits.head_s if self._phase is HEAD else self.limits.body_s)
        else:
            self._got += size
        if (self._got if self._phase is HEAD else self._framing) > self.limits.max_head:
            self._refuse(self._head_too_large())

    def on_message_begin(self) -> None:
        """Begin to parse a message."""
        self._phase, self._since, self._head_bytes = HEAD, 0.0, 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Take a piece of the request's target."""
        super().on_url(url)
        if len(self.url) > self.limits.max_target:
            self._raise(
                TargetTooLong(
                    f"The request's target has more than {self.limits.max_target} bytes.",
                    hint="Send what is long in the body; limits.max_target is the server's setting.",
                )
            )

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; a trailer is read and forgotten, as it may not change what the head said."""
        if self._phase is not HEAD:
            return
        super().on_header(name, value)
        self._head_bytes += len(name) + len(value) + 4
        if self._head_bytes + len(self.url) > self.limits.max_head:
            self._raise(self._head_too_large())
        if len(self.headers) > self.limits.max_headers:
            self._raise(
                HeadTooLarge(
                    f"The request has more than {self.limits.max_headers} headers.",
                    hint="limits.max_headers is the server's setting.",
                )
            )

    def on_headers_complete(self) -> None:
        """Begin the request."""
        wrong = self._wrong()
        if wrong:
            self._raise(MalformedRequest(wrong))
        super().on_headers_complete()
        self._phase, self._since, self._framing = BODY, 0.0, 0
        self.transport.unread = True

    def _wrong(self) -> str:
        """Return what the parser lets through and we do not, "" where there is nothing."""
        version = self.parser.get_http_version()
        if version not in ("1.1", "1.0"):
            return f"HTTP {version} is not spoken here; HTTP/1.1 is."
        if version == "1.1" and sum(name == b"host" for name, _ in self.headers) != 1:
            return "A request of HTTP/1.1 has one Host header."
        if len(self.pipeline) >= MAX_PIPELINED:
            return f"More than {MAX_PIPELINED} requests wait on this connection for their turn."
        return ""

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._framing = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Be between two messages again."""
        self._phase, self._since = BETWEEN, 0.0
        self.transport.unread = False
        super().on_message_complete()

    # --- out -----------------------------------------------------------------------------

    def on_response_complete(self) -> None:
        """Go on with the next request, or wait for it; uvicorn's, without a timer for each."""
        self.server_state.total_requests += 1
        self._used_at = self.loop.time()
        self.flow.resume_reading()
        if self.transport.is_closing():
            self._look_within(LINGER_S if self.transport.lingering else self.limits.write_s)
            return
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._phase is BODY:  # answered early: the rest of the body has to come, and soon
            self._since, self._got = self._used_at, 0
            self._look_within(self.limits.body_s)

    def pause_writing(self) -> None:
        """Wait for a client that does not take its answer."""
        super().pause_writing()
        self._look_within(self.limits.write_s)

    def send_400_response(self, msg: str) -> None:
        """Say what is wrong with the request that the parser gave up on, and close."""
        error, self._refusal = self._refusal, None
        if error is None:
            hint = f"The parser says: {sys.exception()}."
            error = MalformedRequest("The request is not written as HTTP/1.1 has it.", hint=hint)
        self._refuse(error)

    def _raise(self, error: PrismError) -> None:
        """Let the parser give up, because of ``error``."""
        self._refusal = error
        raise httptools.HttpParserError

    def _refuse(self, error: PrismError) -> None:
        """Answer ``error`` and close; where answers are due before that, they are the last ones."""
        cycle, of_body = self.cycle, self._phase is BODY
        due = _unanswered(cycle)
        self._deaf, self._phase, self._since = True, HEAD, 0.0
        if due and not of_body:
            cycle.keep_alive = False
        elif self.pipeline or (due and cycle.response_started):
            self.transport.abort()
        else:
            if due:
                cycle.disconnected = True
                cycle.message_event.set()
            self._tell(error)

    def _tell(self, error: PrismError) -> str:
        """Write an answer that nobody asked the application for, and close; return its id."""
        request = made_id()
        status, headers, content = problem_response(error)
        lines = [*self.server_state.default_headers, *headers, (b"connection", b"close")]
        lines.append((HEADER, request.encode()))
        head = b"".join(b"%b: %b\r\n" % line for line in lines)
        self.transport.write(b"%b%b\r\n%b" % (STATUS_LINE[status], head, content))
        self.transport.unread = True  # more may be on its way, whatever it is
        self.transport.close()
        self.flow.resume_reading()
        self._used_at = self.loop.time()
        self._look_within(LINGER_S)
        return request

    def _head_too_large(self) -> PrismError:
        return HeadTooLarge(
            f"The request's head has more than {self.limits.max_head} bytes.",
            hint="Send fewer or shorter headers; limits.max_head is the server's setting.",
        )

    # --- time ----------------------------------------------------------------------------

    @property
    def idle_since(self) -> float | None:
        """Since when nothing happens here and nothing is due, None where something is."""
        busy = self._phase or self._deaf or self._answering() or self.transport.is_closing()
        return None if busy else self._used_at

    def leave(self) -> None:
        """Go at once, to make room: nothing is due, so nothing is lost."""
        self.transport.abort()

    def _answering(self) -> bool:
        return _unanswered(self.cycle)

    def _owed(self, now: float) -> Owed:
        """Return what this connection waits for."""
        unsent = self.transport.get_write_buffer_size()
        if unsent:
            if unsent != self._unsent:
                self._unsent, self._unsent_at = unsent, now
            return Owed(Due.READING, self._unsent_at)
        self._unsent = 0
        if self.transport.is_closing():
            return Owed(Due.LEAVING, self._used_at)
        if self._phase and self._since and not self.flow.read_paused:
            return Owed(Due.HEAD if self._phase is HEAD else Due.BODY, self._since, self._got)
        return Owed(Due.NOTHING, now) if self._answering() else Owed(Due.REQUEST, self._used_at)

    def _look_within(self, seconds: float) -> None:
        """Look what is due after ``seconds`` at the latest."""
        at = self.loop.time() + seconds
        if self._watch is None or self._watch.when() > at:
            if self._watch is not None:
                self._watch.cancel()
            self._watch = self.loop.call_later(seconds, self._look)

    def _look(self) -> None:
        now = self.loop.time()
        owed = self._owed(now)
        left_s = deadline(owed, self.limits) - now
        if left_s > 0:
            self._watch = self.loop.call_later(left_s, self._look)
            return
        self._watch = None
        self._give_up(owed.due)

    def _give_up(self, due: Due) -> None:
        if due is Due.REQUEST:
            self.transport.close()
        elif due in (Due.HEAD, Due.BODY):
            part = "head" if due is Due.HEAD else "body"
            self._refuse(
                RequestTooSlow(
                    f"The request's {part} comes too slowly.",
                    hint=f"limits.{part}_s is the server's setting.",
                )
            )
        else:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        super().connection_lost(exc)
