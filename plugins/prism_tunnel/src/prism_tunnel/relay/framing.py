"""Bytes of HTTP/1.1 into events, for both sides. llhttp reads; nothing here writes, waits or routes.

There is one framing: what llhttp, in its strict mode, and the checks here agree on. Bodies come out
decoded and are framed anew by `heads`, so nobody behind the relay can read other borders
into the same bytes.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable

import attrs
from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser, HttpResponseParser

# A head: nobody needs more, and it is kept in memory until it is whole.
HEAD_BYTES = 32 * 1024
HEADERS = 100
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_DIGITS = re.compile(rb"[0-9]{1,18}")

Headers = tuple[tuple[bytes, bytes], ...]


class Framing(enum.Enum):
    """Where a body ends: there is none, after so many bytes, after the last chunk, with the connection."""

    NONE = enum.auto()
    LENGTH = enum.auto()
    CHUNKED = enum.auto()
    CLOSE = enum.auto()


class End(enum.Enum):
    """The end of a message."""

    OF_MESSAGE = enum.auto()


END = End.OF_MESSAGE


@attrs.frozen
class RequestHead:
    """A request without its body; header names are lower case.

    ``websocket``: it asks for one, and what follows an agreement is not HTTP.
    """

    method: bytes
    target: bytes
    headers: Headers
    http10: bool
    keep_alive: bool
    framing: Framing
    length: int
    websocket: bool

    def all(self, name: bytes) -> list[bytes]:
        """Return every value of a header."""
        return [value for key, value in self.headers if key == name]


@attrs.frozen
class ResponseHead:
    """An answer without its body; ``keep_alive``: its connection may be asked again."""

    status: int
    reason: bytes
    headers: Headers
    framing: Framing
    length: int
    keep_alive: bool = True

    @property
    def interim(self) -> bool:
        """Whether it is only a sign of life, as 100 and 103 are."""
        return self.status < 200 and self.status != 101


@attrs.frozen
class Fault:
    """What came is not HTTP as it should be: the status to refuse it with, and one sentence."""

    status: int
    message: str


RequestEvent = RequestHead | bytes | End | Fault
ResponseEvent = ResponseHead | bytes | End | Fault


class _Reader:
    """What both parsers have in common: the callbacks of httptools collect a head and its body."""

    def __init__(self) -> None:
        self._headers: list[tuple[bytes, bytes]] = []
        self._events: list[RequestHead | ResponseHead | bytes | End | Fault] = []
        self._in_body = False
        self._head_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a callback of httptools."""
        if not self._in_body:  # else a trailer, which is left out
            self._headers.append((name.lower(), value.strip(b" \t")))
            self._head_bytes += len(name) + len(value) + 4

    def _too_large(self) -> bool:
        return self._head_bytes > HEAD_BYTES or len(self._headers) > HEADERS


class Requests(_Reader):
    """Reads one connection's requests. After a `Fault`, or past a websocket's head, it reads no more."""

    def __init__(self) -> None:
        super().__init__()
        self._parser = HttpRequestParser(self)
        self._target = b""
        # Bytes of a head that is not whole, and whether a head or a body became whole in this feed.
        self._unread = 0
        self._moved = False
        self._over = False
        self.rest = b""

    @property
    def begun(self) -> bool:
        """Whether a part of a head is there."""
        return self._unread > 0

    def feed(self, data: bytes) -> list[RequestEvent]:
        """Return what is in ``data``. What follows the head of a websocket is put into ``rest``."""
        if self._over:
            self.rest += data
            return []
        self._moved = False
        self._parse(data)
        self._unread = 0 if self._moved or self._in_body else self._unread + len(data)
        if self._unread > HEAD_BYTES:
            self._fault(431, f"The head of a request is larger than {HEAD_BYTES} bytes.")
        events, self._events = self._events, []
        return events  # type: ignore[return-value]  # of a request alone

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            self._upgraded(data[upgrade.args[0] :])
        except HttpParserError:
            self._fault(400, "This is not HTTP/1.1 as RFC 9112 has it.")

    def on_message_begin(self) -> None:
        """Take a callback of httptools."""
        self._headers, self._target = [], b""
        self._head_bytes, self._in_body = 0, False

    def on_url(self, url: bytes) -> None:
        """Take a callback of httptools."""
        self._target += url
        self._head_bytes += len(url)

    def on_headers_complete(self) -> None:
        """Take a callback of httptools."""
        self._in_body = self._moved = True
        if not self._over:
            self._events.append(self._head())

    def on_message_complete(self) -> None:
        """Take a callback of httptools."""
        self._in_body, self._moved = False, True
        if not self._over:
            self._events.append(END)

    def on_body(self, body: bytes) -> None:
        """Take a callback of httptools."""
        if not self._over:
            self._events.append(body)

    def _head(self) -> RequestHead | Fault:
        parser = self._parser
        headers = tuple(self._headers)
        version = parser.get_http_version()
        found = request_framing(headers, version)
        fault = found if isinstance(found, Fault) else self._objection(headers, version)
        if fault:
            self._over = True
            return fault
        framing, length = found  # type: ignore[misc]  # no fault
        websocket = parser.should_upgrade() and _says(headers, b"upgrade", b"websocket")
        if websocket and framing is not Framing.NONE:
            self._over = True
            return Fault(400, "A request for a websocket has a body.")
        return RequestHead(
            parser.get_method(), self._target, headers, version == "1.0", parser.should_keep_alive(),
            framing, length, websocket,
        )  # fmt: skip

    def _objection(self, headers: Headers, version: str) -> Fault | None:
        if self._too_large():
            return Fault(431, f"A head has up to {HEADERS} headers and {HEAD_BYTES} bytes.")
        if version not in ("1.0", "1.1"):
            return Fault(505, "This relay speaks HTTP/1.1.")
        if not self._target.startswith(b"/") or b"#" in self._target:
            return Fault(400, "The target of a request is a path that begins with a slash.")
        if _CONTROL.search(b"".join(value for _, value in headers)):
            return Fault(400, "A header holds a control character.")
        if sum(name == b"host" for name, _ in headers) != 1:
            return Fault(400, "A request has one Host header.")
        return None

    def _upgraded(self, rest: bytes) -> None:
        """Go on behind a head with ``Upgrade``: nothing but a websocket is agreed to."""
        if self._over:
            return
        while self._events[-1] is END:  # llhttp takes the body for another protocol
            self._events.pop()
        head = self._events[-1]
        if not isinstance(head, RequestHead) or head.websocket:
            self._events.append(END)
            self._over, self.rest = True, rest
            return
        self._read_anew(head)
        self._parse(rest)

    def _read_anew(self, head: RequestHead) -> None:
        """Tell a new parser how a body is framed, so that it reads it."""
        self._parser, self._over = HttpRequestParser(self), True
        lines = framing_lines(head.framing, head.length)
        self._parser.feed_data(b"POST / HTTP/1.1\r\nhost: x\r\n" + lines + b"\r\n")
        self._over = False
        if not self._in_body:
            self._events.append(END)

    def _fault(self, status: int, message: str) -> None:
        if not self._over:
            self._events.append(Fault(status, message))
        self._over = True


class Responses(_Reader):
    """Reads the answer to one request, and what is said before it."""

    def __init__(self, method: bytes) -> None:
        super().__init__()
        self._parser = HttpResponseParser(self)
        self._method = method
        self._reason = b""
        self._head: ResponseHead | None = None
        self.done = False
        self.rest = b""

    def feed(self, data: bytes) -> list[ResponseEvent]:
        """Return what is in ``data``. What follows an agreement on a websocket is put into ``rest``."""
        if self.done:
            return [Fault(502, "More came than was asked for.")] if data else []
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            self.rest = data[upgrade.args[0] :]
        except HttpParserError:
            self._events.append(Fault(502, "The answer is not HTTP/1.1."))
        events, self._events = self._events, []
        return events  # type: ignore[return-value]  # of a response alone

    def close(self) -> ResponseEvent:
        """Return what the end of the connection means: the end of the answer, or that it was cut off."""
        if self._head is not None and self._head.framing is Framing.CLOSE and not self.done:
            self.done = True
            return END
        return Fault(502, "The connection ended before the answer did.")

    def on_message_begin(self) -> None:
        """Take a callback of httptools."""
        if self.done:
            self._events.append(Fault(502, "More came than was asked for."))
        self._headers, self._reason = [], b""
        self._head_bytes, self._in_body = 0, False

    def on_body(self, body: bytes) -> None:
        """Take a callback of httptools."""
        self._events.append(Fault(502, "More came than was asked for.") if self.done else body)

    def on_status(self, status: bytes) -> None:
        """Take a callback of httptools."""
        self._reason += status

    def on_headers_complete(self) -> None:
        """Take a callback of httptools."""
        self._in_body = True
        if self.done:
            return
        status, headers = self._parser.get_status_code(), tuple(self._headers)
        found = response_framing(self._method, status, headers)
        if isinstance(found, Fault) or self._too_large() or _CONTROL.search(self._reason):
            self._events.append(
                found if isinstance(found, Fault) else Fault(502, "The answer's head is wrong.")
            )
            self.done = True
            return
        self._head = ResponseHead(status, self._reason, headers, *found, self._parser.should_keep_alive())
        self._events.append(self._head)
        if found[0] is Framing.NONE and not self._head.interim:
            # llhttp would wait for the body that an answer to HEAD only tells of.
            self._events.append(END)
            self.done = True

    def on_message_complete(self) -> None:
        """Take a callback of httptools."""
        if self._head is not None and not self._head.interim and not self.done:
            self._events.append(END)
            self.done = True


def _says(headers: Headers, name: bytes, word: bytes) -> bool:
    return [value.lower() for key, value in headers if key == name] == [word]


def request_framing(headers: Headers, version: str) -> tuple[Framing, int] | Fault:
    """Return where a request's body ends. Whatever could be read in two ways is a fault."""
    lengths = [value for name, value in headers if name == b"content-length"]
    codings = [value.lower() for name, value in headers if name == b"transfer-encoding"]
    if codings:
        if lengths or codings != [b"chunked"] or version != "1.1":
            return Fault(400, "Transfer-Encoding is chunked, once, in HTTP/1.1, without Content-Length.")
        return Framing.CHUNKED, 0
    if not lengths:
        return Framing.NONE, 0
    if len(lengths) > 1 or not _DIGITS.fullmatch(lengths[0]):
        return Fault(400, "Content-Length is one number.")
    return (Framing.LENGTH, int(lengths[0])) if int(lengths[0]) else (Framing.NONE, 0)


def response_framing(method: bytes, status: int, headers: Headers) -> tuple[Framing, int] | Fault:
    """Return where an answer's body ends; its head alone may tell of a body, as that to HEAD does."""
    lengths = {value for name, value in headers if name == b"content-length"}
    codings = [value.lower() for name, value in headers if name == b"transfer-encoding"]
    if len(lengths) > 1 or not all(_DIGITS.fullmatch(one) for one in lengths) or (lengths and codings):
        return Fault(502, "The answer's length can be read in two ways.")
    length = int(lengths.pop()) if lengths else 0
    if method == b"HEAD" or status < 200 or status in (204, 304):
        return Framing.NONE, length
    if codings:
        return (Framing.CHUNKED, 0) if codings == [b"chunked"] else Fault(502, "The answer is encoded oddly.")
    if any(name == b"content-length" for name, _ in headers):
        return (Framing.LENGTH, length) if length else (Framing.NONE, 0)
    return Framing.CLOSE, 0


def framing_lines(framing: Framing, length: int) -> bytes:
    """Return the header lines that say how a body is framed."""
    if framing is Framing.CHUNKED:
        return b"transfer-encoding: chunked\r\n"
    return b"content-length: %d\r\n" % length if framing is Framing.LENGTH else b""


def framed(pieces: Iterable[bytes], framing: Framing) -> bytes:
    """Return pieces of a body as they are sent."""
    if framing is Framing.CHUNKED:
        return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece)
    return b"".join(pieces)


LAST_CHUNK = b"0\r\n\r\n"
