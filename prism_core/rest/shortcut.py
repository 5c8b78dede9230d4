"""The short way of a plain prediction: no ASGI, no task and no future, and no head parsed twice.

`PredictProtocol` knows heads by their bytes (`prism_core.rest.heads`), asks the service
directly and writes the answer when it comes. A large body is received straight
into its own memory. Whatever is not plain (chunked bodies, Expect, upgrades, HTTP/1.0,
Connection: close, other routes) goes uvicorn's way to `PredictFront`, which answers the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any, cast

import structlog
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from prism_core.errors import Overloaded, PrismError
from prism_core.filling import LARGE_BYTES, Filling
from prism_core.gateway.callers.door import Entry
from prism_core.gateway.prediction import Prediction
from prism_core.gateway.traffic.askable import Pending
from prism_core.gateway.traffic.sender import Sender
from prism_core.rest.access import LEFT, Line
from prism_core.rest.bounded import BoundedProtocol
from prism_core.rest.entrance import REFUSED
from prism_core.rest.errors import as_prism_error
from prism_core.rest.heads import Heads, LinkHead, PlainHead
from prism_core.rest.patience import Due, Owed
from prism_core.rest.predict import content_type, entered, lines_of, sender_of
from prism_core.rest.requests import made_id
from prism_core.rest.speaking import refusal_in
from prism_core.serving import Dialect
from prism_core.settings import LimitSettings

# Beyond this a request is not a small one, and parsing its head does not matter.
MAX_HEAD_BYTES = 2048
_END = b"\r\n\r\n"


def _rendered(error: Exception, dialect: Dialect | None) -> tuple[bytes, bytes]:
    """Return the status line of a problem, and what follows the lines that every answer has."""
    status, headers, content = refusal_in(dialect.problem if dialect else None, error)
    lines = b"".join(b"%b: %b\r\n" % header for header in headers)
    return STATUS_LINE[status], b"%b\r\n%b" % (lines, content)


class PredictProtocol(BoundedProtocol):
    """uvicorn's HTTP protocol with the short way in front. One prediction at a time a connection."""

    def __init__(self, heads: Heads, limits: LimitSettings, **uvicorn: Any) -> None:
        super().__init__(limits, **uvicorn)
        self._heads = heads
        self._front = heads.front
        self._asking: Pending | None = None
        self._known: PlainHead | LinkHead | None = None  # the head of the newest request
        self._entry: Entry | None = None  # of the newest request, where there is a door
        self._given = self._request = ""  # its id: what came with it, what it has
        self._line: Line | None = None  # what the access log will say of it, where there is one
        self._turned_away: Exception | None = None  # of the request that uvicorn's parser is about to get
        self._busy = False  # a prediction is on its way, or its answer is not yet taken
        self._lines = b""  # of the newest request's answer, for pages of other origins
        self._dialect: Dialect | None = None  # in which it was asked
        self._held = b""  # the beginning of a request
        self._backlog = b""  # what came behind the request that is on its way
        self._filling: Filling | None = None  # a large body arrives
        self._last = False  # close after the answer
        self._settled: asyncio.Future[None] | None = None
        self._dated: tuple[Any, bytes] = (None, b"")

    # --- in --------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Take what the client sent."""
        if self._busy:
            self._backlog += data
            self.flow.pause_reading()
            return
        held = bool(self._held)
        if held:
            data, self._held = self._held + data, b""
        cycle: RequestResponseCycle | None = self.cycle
        if self._phase or not (cycle is None or cycle.response_complete):
            super().data_received(data)
            return
        end = data.find(_END, 0, MAX_HEAD_BYTES) + len(_END)
        head = data[:end]
        known, self._given = self._heads.known.get(head), ""
        if known is None:
            known, self._given = self._heads.find(head)
        if known is None:
            super().data_received(data)
            return
        stop = end + known.asked.length
        if len(data) < stop:
            if known.asked.length < LARGE_BYTES:
                self._hold(data, begins=not held)
            elif not self._fill(known, memoryview(data)[end:]):
                super().data_received(data)
            return
        if len(data) > stop:
            self._backlog = data[stop:]
            self.flow.pause_reading()
        self._ask(known, data[end:stop])

    def _hold(self, data: bytes, *, begins: bool) -> None:
        self._held = data
        if begins:
            self._since = self.loop.time()
            self._look_within(self.limits.body_s)

    def on_message_begin(self) -> None:
        """Begin to parse a message; one that the door has refused says so to whoever answers it."""
        super().on_message_begin()
        if self._turned_away is not None:
            cast(dict[str, Any], self.scope)[REFUSED] = self._turned_away
            self._turned_away = None

    # --- out -------------------------------------------------------------------------

    def _fill(self, known: PlainHead | LinkHead, begun: memoryview) -> bool:
        """Receive the rest of a large body, unless it is known already that it will be refused."""
        asked = known.asked
        try:
            known.service.lane(asked.reference)
        except PrismError:  # uvicorn's way asks the door first, and takes the body off the line
            return False
        try:
            self._entry = None
            if known.door is not None:
                self._entry = entered(known.door, asked, self._headers_of(known), self.client)
        except Exception as error:  # there too, but the door is not asked again: it counts
            self._turned_away = error
            return False
        self._busy = True
        self._since = self.loop.time()
        done = partial(self._filled, known)
        self._filling = Filling(cast(asyncio.Transport, self.transport), self, begun, asked.length, done)
        self._look_within(self.limits.body_s)
        return True

    def _filled(self, known: PlainHead | LinkHead, body: memoryview) -> None:
        self._filling = None
        self._ask(known, body, checked=True)

    def _ask(self, known: PlainHead | LinkHead, body: bytes | memoryview, *, checked: bool = False) -> None:
        self._busy = True
        self._known = known
        asked = known.asked
        self._lines = known.lines
        self._dialect = known.dialect
        self._request = self._given or made_id()
        if self._front.access is not None:
            self._line = self._front.access.begun(
                self._request, self.client, "POST", known.path, known.headers
            )
            if self._front.access.values:
                model = known.service.meant(asked.reference)
                self._line.values = self._front.access.values_of(model, body)
        try:
            if not checked:
                self._entry = None
                if known.door is not None:
                    self._entry = entered(known.door, asked, self._headers_of(known), self.client)
            asking = known.ask(
                asked.reference,
                asked.head,
                body,
                asked.timeout_s,
                self._answered,
                self._request,
                self._sender,
            )
        except Exception as error:
            self._answered(error)
            return
        if asking is not None and not asking.done:
            self._asking = asking

    def _sender(self) -> Sender:
        """Return who sent the newest request."""
        headers = self._known.headers if self._known is not None else {}
        return sender_of(headers, self.client, self._entry)

    def _headers_of(self, known: PlainHead | LinkHead) -> Mapping[str, str]:
        return {**known.headers, "x-request-id": self._given} if self._given else known.headers

    def _answered(self, outcome: Prediction | Exception) -> None:
        self._asking = None
        transport = self.transport
        if transport.is_closing():
            self._note(None, b"")
            self._settle()
            return
        if self._dialect is not None:
            outcome, answer = self._spoken(self._dialect, outcome)
        elif type(outcome) is Prediction:
            answer = self._written(outcome, content_type(outcome.media_type))
        else:
            answer = self._problem(cast(Exception, outcome))
        transport.write(answer)
        if type(outcome) is Prediction and len(outcome.body) >= LARGE_BYTES:
            transport.write(outcome.body)
        if self._line is not None:
            self._note(outcome, answer)
        if self._last:
            transport.close()
        self._used_at = self.loop.time()
        if self._settled is not None:
            self._settle()
        if not self.flow.write_paused:
            self._go_on()

    def _note(self, outcome: Prediction | Exception | None, answer: bytes) -> None:
        line, self._line, access = self._line, None, self._front.access
        if line is None or access is None:
            return
        if isinstance(outcome, Prediction):
            access.ended(line, 200, len(outcome.body), self._entry, outcome)
        elif outcome is not None:
            size = len(answer) - answer.index(_END) - len(_END)
            access.ended(line, as_prism_error(outcome).status, size, self._entry)
        else:
            access.ended(line, LEFT, 0, self._entry)

    def _go_on(self) -> None:
        if self._backlog:
            # Not from here: a thousand requests in one piece would be a thousand frames deep. Busy
            # until then, so that what is read meanwhile stays behind what waits here.
            self.loop.call_soon(self._replay)
        else:
            self._busy = False

    def _replay(self) -> None:
        data, self._backlog = self._backlog, b""
        self._busy = False
        self.flow.resume_reading()
        if not self.transport.is_closing():
            self.data_received(data)

    def _spoken(
        self, dialect: Dialect, outcome: Prediction | Exception
    ) -> tuple[Prediction | Exception, bytes]:
        """Return an outcome as its dialect has it, and its bytes as `_written` has them."""
        if isinstance(outcome, Exception):
            return outcome, self._problem(outcome)
        try:
            return outcome, self._written(outcome, lines_of(dialect, outcome))
        except Exception as error:
            return error, self._problem(error)

    def _written(self, prediction: Prediction, lines: bytes) -> bytes:
        """Return head and body of an answer, a large body apart; the same headers as `predict.headers_of`."""
        body = prediction.body
        return (
            b"HTTP/1.1 200 OK\r\n%bx-request-id: %b\r\n%bcontent-length: %d\r\n"
            b"server-timing: queue;dur=%.3f, compute;dur=%.3f\r\n"
            b"x-prism-model-version: %d\r\nx-prism-cache: %b\r\nx-prism-batch: %d\r\n%b\r\n%b"
            % (
                self._common(),
                self._request.encode(),
                lines,
                len(body),
                prediction.queue_us / 1000,
                prediction.compute_us / 1000,
                prediction.version,
                prediction.cache.encode(),
                prediction.batch_rows,
                prediction.lines,
                body if len(body) < LARGE_BYTES else b"",  # type: ignore[str-format]  # a memoryview will do
            )
        )

    def _problem(self, error: Exception) -> bytes:
        if self._entry is not None:
            error = self._front.failed(self._entry, error)
        refusal, dialect, status, rest = self._heads.refusal
        if refusal is not error or dialect is not self._dialect:
            with structlog.contextvars.bound_contextvars(request_id=self._request):
                status, rest = _rendered(error, self._dialect)
            if type(error) is Overloaded:
                self._heads.refusal = (error, self._dialect, status, rest)
        return b"%b%bx-request-id: %b\r\n%b" % (status, self._common(), self._request.encode(), rest)

    def _common(self) -> bytes:
        """Return the lines that uvicorn adds to every answer, and the door to this one."""
        headers = self.server_state.default_headers  # replaced whole once a second, for its Date
        dated, lines = self._dated
        if dated is not headers:
            lines = b"".join(b"%b: %b\r\n" % header for header in headers)
            self._dated = (headers, lines)
        if self._last:
            lines += b"connection: close\r\n"
        if self._entry is not None:
            lines += self._entry.lines
        if self._lines:
            lines += self._lines
        return lines

    # --- slow, gone, stopping -----------------------------------------------------------

    def resume_writing(self) -> None:
        """Go on with a client that has taken its answer."""
        super().resume_writing()
        if self._busy and self._asking is None and self._filling is None:
            self._go_on()

    @property
    def idle_since(self) -> float | None:
        """Since when nothing happens here and nothing is due, None where something is."""
        return None if self._held else super().idle_since

    def _answering(self) -> bool:
        return self._busy or super()._answering()

    def _owed(self, now: float) -> Owed:
        if self._filling is not None:
            return Owed(Due.BODY, self._since, self._filling.received)
        return Owed(Due.BODY, self._since, len(self._held)) if self._held else super()._owed(now)

    def _give_up(self, due: Due) -> None:
        if self._filling is not None:
            self._filling.stop()
            self._filling, self._busy = None, False
        self._held = b""
        super()._give_up(due)

    def _tell(self, error: PrismError) -> str:
        request = super()._tell(error)
        if (access := self._front.access) is not None:
            scope = getattr(self, "scope", {})
            path = getattr(self, "url", b"").partition(b"?")[0].decode("latin-1")
            access.ended(access.begun(request, self.client, scope.get("method", ""), path), error.status)
        return request

    def connection_lost(self, exc: Exception | None) -> None:
        """Give up the prediction that nobody waits for any more."""
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None
        self._note(None, b"")
        self._settle()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Close, after the answer that is due; uvicorn's tasks, which a drain waits for, then hold it."""
        if self._asking is None and self._filling is None:
            super().shutdown()
            return
        self._last = True
        self._settled = self.loop.create_future()
        self._settled.add_done_callback(self._cut)
        self.tasks.add(cast("asyncio.Task[None]", self._settled))

    def _cut(self, settled: asyncio.Future[None]) -> None:
        if settled.cancelled() and self._asking is not None:
            self._asking.cancel()
            self._answered(Overloaded("The server is stopping.", details={"retry_after_s": 5}))

    def _settle(self) -> None:
        if self._settled is not None and not self._settled.done():
            self._settled.set_result(None)
