"""Plain HTTP on a replica's socket or port, so that it is useful alone.

``curl --unix-socket replica.sock http://replica/predict -d '{"input": [[1, 2]]}'``. What that
needs, within bounds: one request at a time on a connection, bodies with a Content-Length. The
gateway never speaks it. What can be asked is in `routes`, how heads are read in `heads`.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec

from prism_core import wire
from prism_core.dialects import Spoken, said, written
from prism_core.errors import (
    HeadTooLarge,
    InternalError,
    MethodNotAllowed,
    Overloaded,
    PayloadTooLarge,
    PrismError,
    RequestTooSlow,
    Unauthorized,
)
from prism_core.filling import write_all
from prism_core.runtime.asking import Asking, Told
from prism_core.runtime.heads import RequestHead, parse, timeout_of
from prism_core.runtime.routes import Page, Prediction, route

if TYPE_CHECKING:  # server imports this module
    from prism_core.runtime.server import Service

MAX_HEAD_BYTES = 32 * 1024
# How long what follows a refused head is still read.
LINGER_S = 2.0
PROBLEM = "application/problem+json"


class Bounds(msgspec.Struct, frozen=True):
    """How much clients may send, and how long they may take.

    Parameters
    ----------
    max_body_bytes
        A longer body is refused before it comes.
    max_connections
        Who comes beyond them is answered 503.
    head_s, body_s, body_rate
        How long a head may take, and a body: so many seconds, and one more for each so many bytes.
    write_s
        How long a client may leave an answer where it is.
    idle_s
        How long a connection may wait for its next request.
    """

    max_body_bytes: int = 64 * 1024 * 1024
    max_connections: int = 1000
    head_s: float = 10.0
    body_s: float = 20.0
    body_rate: int = 500
    write_s: float = 30.0
    idle_s: float = 75.0


class HttpConnection(asyncio.Protocol):
    """One HTTP/1.1 client."""

    def __init__(self, service: Service, transport: asyncio.Transport) -> None:
        self._service = service
        self._bounds = service.bounds
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._data = bytearray()
        self._head: RequestHead | None = None
        self._spoken: Spoken | None = None  # of the newest request, whose path it is
        self._asking: Asking | None = None
        self._answering = False
        self._paused = False
        self._begun = False
        self._ended = False
        self._timer: asyncio.TimerHandle | None = None
        self._wait(self._bounds.head_s)

    # --- what asyncio calls -------------------------------------------------------------

    def connection_lost(self, error: Exception | None) -> None:  # noqa: D102 - asyncio's
        self._service.leave(self._transport)
        self._wait(0)
        if self._asking:
            self._asking.cancel()

    def data_received(self, data: bytes) -> None:  # noqa: D102 - asyncio's
        if self._ended:
            return
        self._data += data
        if not self._answering:
            self._advance()
        elif len(self._data) > MAX_HEAD_BYTES:
            self._transport.pause_reading()  # its next requests wait where they are

    def pause_writing(self) -> None:  # noqa: D102 - asyncio's
        self._paused = True
        self._wait(self._bounds.write_s)

    def resume_writing(self) -> None:  # noqa: D102 - asyncio's
        self._paused = False
        self._wait(self._bounds.idle_s)
        if not self._answering:
            self._advance()

    # --- a request ------------------------------------------------------------------------

    def _advance(self) -> None:
        if self._paused or self._ended or self._transport.is_closing():
            return
        if self._head is None and not self._read_head():
            return
        head = self._head
        assert head
        if len(self._data) < head.length:
            return
        self._head = None
        self._answering = True
        self._wait(0)
        body = bytes(memoryview(self._data)[: head.length])
        del self._data[: head.length]
        self._answer(head, body)

    def _read_head(self) -> bool:
        """Return whether the head of the next request is there; a bad one is answered."""
        end = self._data.find(b"\r\n\r\n", 0, MAX_HEAD_BYTES)
        if end < 0:
            if len(self._data) >= MAX_HEAD_BYTES:
                self._refuse(HeadTooLarge(f"The request's head has more than {MAX_HEAD_BYTES} bytes."))
            elif self._data and not self._begun:
                self._begun = True
                self._wait(self._bounds.head_s)
            return False
        self._begun = False
        self._spoken = None
        try:
            head = parse(bytes(memoryview(self._data)[:end]))
        except PrismError as error:
            self._refuse(error)
            return False
        self._spoken = self._service.dialects.find(head.path)
        if head.length > self._bounds.max_body_bytes:
            self._refuse(
                PayloadTooLarge(
                    f"The body has {head.length} bytes; at most {self._bounds.max_body_bytes} are taken.",
                    hint="Send fewer rows at a time.",
                )
            )
            return False
        del self._data[: end + 4]
        self._head = head
        self._wait(self._bounds.body_s + head.length / self._bounds.body_rate)
        if head.headers.get("expect", "").lower() == "100-continue" and len(self._data) < head.length:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return True

    def _answer(self, head: RequestHead, body: bytes) -> None:
        try:
            asked = route(self._service, head, self._spoken)
            if isinstance(asked, Page):
                lines = _lines({"content-type": "application/json"})
                self._send(head, asked.status, lines, msgspec.json.encode(asked.value))
                return
            self._predict(head, asked, body)
        except PrismError as error:
            self._problem(head, error)
        except Exception as error:
            self._problem(head, self._fault(error))

    def _predict(self, head: RequestHead, asked: Prediction, body: bytes) -> None:
        service = self._service
        if service.engine is None:
            assert service.failure is not None
            raise service.failure
        timeout_s = timeout_of(head, service.engine.session.manifest.timeout_s)
        call = wire.Call(0, asked.media_type, asked.accept, timeout_s * 1000, asked.query, asked.style)
        self._asking = Asking(service, call, lambda outcome: self._answered(head, outcome))
        self._asking.begin(memoryview(body))

    def _answered(self, head: RequestHead, outcome: Told | PrismError) -> None:
        self._asking = None
        if isinstance(outcome, PrismError):
            self._problem(head, outcome)
            return
        answered, engine = outcome.answered, self._service.engine
        assert engine
        timing = f"queue;dur={answered.queue_s * 1e3:.3f}, compute;dur={answered.compute_s * 1e3:.3f}"
        more = {
            "server-timing": timing,
            "x-prism-model-version": str(engine.session.manifest.version),
            "x-prism-batch": str(answered.batch_rows),
        }
        try:
            lines, body = self._told(outcome)
        except Exception as error:
            self._problem(head, error if isinstance(error, PrismError) else self._fault(error))
            return
        self._send(head, 200, lines + _lines(more), body)

    def _told(self, told: Told) -> tuple[bytes, bytes | bytearray | memoryview]:
        """Return the lines that say what an answer's body is, and the body; raises what a dialect does."""
        if self._spoken is not None:
            return written(self._spoken.dialect, memoryview(told.body))
        return _lines({"content-type": told.media_type}), told.body

    def _fault(self, error: Exception) -> PrismError:
        """Return what a client is told of a dialect's fault, which the log has."""
        engine = self._service.engine
        return engine.session.internal("A dialect", error) if engine else InternalError("A dialect failed.")

    # --- answers -----------------------------------------------------------------------------

    def _refuse(self, error: PrismError) -> None:
        """Answer what cannot be read, and end: nobody knows where the next request would begin."""
        self._answering = True
        self._problem(None, error)

    def _problem(self, head: RequestHead | None, error: PrismError) -> None:
        try:
            media_type, body = said(self._spoken.dialect.problem if self._spoken else _own_words, error)
        except Exception as fault:
            error = self._fault(fault)
            media_type, body = PROBLEM.encode(), problem(error)
        lines = b"content-type: %b\r\n" % media_type + _lines(headers_of(error))
        self._send(head, error.status, lines, body)

    def _send(
        self,
        head: RequestHead | None,
        status: int,
        lines: bytes,
        body: bytes | bytearray | memoryview,
    ) -> None:
        """Send an answer; the connection ends with it where the client wants that, or the service ends.

        ``lines`` are its header lines, but for those of the connection.
        """
        if self._transport.is_closing():
            return
        keeps = head is not None and head.keeps and not self._service.draining.is_set()
        ends = {"content-length": str(len(body)), "connection": "keep-alive" if keeps else "close"}
        start = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n".encode() + lines + _lines(ends) + b"\r\n"
        self._wait(self._bounds.idle_s)  # before it is written: the transport may say that it is full
        if head is not None and head.method == "HEAD":
            body = b""
        write_all(self._transport, [start, body] if body else [start])
        self._answering = False
        if head is None:
            self._linger()
        elif not keeps:
            self._transport.close()
        else:
            self._transport.resume_reading()
            if self._data:
                self._loop.call_soon(self._advance)

    def _linger(self) -> None:
        """Read what is still coming, and drop it: closing now would take the answer from the client."""
        self._ended = True
        self._data.clear()
        self._transport.resume_reading()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._wait(LINGER_S)

    # --- time ----------------------------------------------------------------------------------

    def _wait(self, seconds: float) -> None:
        """Give the client so long for what comes next; 0: as long as it takes."""
        if self._timer:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, self._too_slow) if seconds else None

    def _too_slow(self) -> None:
        self._timer = None
        if self._paused or self._answering or self._ended or self._transport.is_closing():
            self._transport.abort()
        elif self._head or self._data:
            self._refuse(RequestTooSlow("The request did not come in time.", hint="Send it in one piece."))
        else:
            self._transport.close()


def _lines(headers: Mapping[str, str]) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode("latin-1")


def _own_words(error: PrismError) -> tuple[str, bytes]:
    return PROBLEM, problem(error)


def problem(error: PrismError) -> bytes:
    """Return the problem document of an error, as a PRISM server writes it."""
    facts: dict[str, Any] = {
        "type": f"urn:prism:error:{error.code}",
        "title": error.code.replace("_", " ").capitalize(),
        "status": error.status,
        "code": error.code,
        "detail": error.message,
        "hint": error.hint,
        "details": error.details,
    }
    if error.status == 500 and "error_id" in error.details:
        facts["error_id"] = error.details["error_id"]
    return msgspec.json.encode(facts, enc_hook=str)


def headers_of(error: PrismError) -> dict[str, str]:
    """Return the headers that an error brings along."""
    retry_after_s = error.details.get("retry_after_s")
    if isinstance(error, Unauthorized):
        return {"www-authenticate": "Bearer"}
    if isinstance(error, MethodNotAllowed):
        return {"allow": error.details["allow"]}
    if isinstance(retry_after_s, int | float):
        return {"retry-after": str(max(1, math.ceil(retry_after_s)))}
    return {}


def full() -> bytes:
    """Return what a client is told for whom there is no room."""
    error = Overloaded(
        "This replica has as many connections as it takes.",
        hint="Try again, or start more replicas.",
        details={"retry_after_s": 1},
    )
    body = problem(error)
    return (
        b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: %b\r\ncontent-length: %d\r\n"
        b"retry-after: 1\r\nconnection: close\r\n\r\n%b" % (PROBLEM.encode(), len(body), body)
    )
