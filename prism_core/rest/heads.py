"""What the heads of plain predict requests say, each parsed once and then known by its exact bytes.

The clients of a model send the same head with every request, but for the length of the body.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote

import attrs
import httptools

from prism_core.errors import PrismError
from prism_core.gateway.callers.door import told_of
from prism_core.rest.errors import Headers
from prism_core.rest.predict import PredictFront, PredictHead, head_of
from prism_core.rest.requests import HEADER, without_id

# A hostile client can make up heads; then all are learned anew.
REMEMBERED = 4096
_NOT_PLAIN = frozenset({b"transfer-encoding", b"expect", b"upgrade", HEADER})


@attrs.frozen(slots=True)
class PlainHead:
    """The head of a plain predict request: what it says, its headers for the door, lines of its answer.

    Who sent it is not in here: a caller is looked up for every request.
    """

    asked: PredictHead
    headers: Mapping[str, str]
    path: str
    lines: bytes


class Heads:
    """The heads of plain predict requests, by their bytes.

    Parameters
    ----------
    front
        Knows the routes.
    max_headers
        A head with more is left to the parser that refuses it.

    Attributes
    ----------
    known
        What has been found so far.
    refusal
        The last refusal and its bytes: a crowded lane refuses all with the same one.
    """

    def __init__(self, front: PredictFront, max_headers: int) -> None:
        self.front = front
        self._max_headers = max_headers
        self.refusal: tuple[Exception | None, bytes, bytes] = (None, b"", b"")
        self.known: dict[bytes, PlainHead] = {}

    def find(self, head: bytes) -> tuple[PlainHead | None, str]:
        """Return what ``head``, all bytes of it, says, None if the request is not plain; and its id.

        An id would make every head a new one, and push the others out: it is taken off first.
        """
        rest, request = without_id(head)
        return self.known.get(rest) or self._read(rest), request

    def _read(self, head: bytes) -> PlainHead | None:
        # A bare line feed might end the head earlier than the bytes that were looked for.
        if not head.startswith(b"POST ") or head.count(b"\n") != head.count(b"\r\n"):
            return None
        try:
            found = _Parsed(head)
            plain = found.plain and len(found.headers) <= self._max_headers
            route = self.front.route(found.path) if plain else None
            asked = head_of(route, found.headers, found.query) if route else None
        except (httptools.HttpParserError, httptools.HttpParserUpgrade, UnicodeDecodeError, PrismError):
            return None  # it is told what is wrong each time it comes
        if asked is None or asked.length > self.front.max_body_bytes:
            return None
        if len(self.known) >= REMEMBERED:
            self.known.clear()
        headers = told_of(found.headers) if self.front.door is not None else {}
        cors = self.front.cors
        lines = cors.lines(found.path, found.headers) if cors is not None else b""
        known = self.known[head] = PlainHead(asked, headers, found.path, lines)
        return known


class _Parsed:
    """What uvicorn's parser makes of a head."""

    def __init__(self, head: bytes) -> None:
        self.headers: Headers = []
        self._url = b""
        self._keeps_alive = False
        self._parser = parser = httptools.HttpRequestParser(self)
        parser.feed_data(head)
        url = httptools.parse_url(self._url)
        path = (url.path or b"").decode("ascii")  # `POST http://host` has none
        self.path = unquote(path) if "%" in path else path
        self.query: bytes = url.query or b""
        names = [name for name, _ in self.headers]
        self.plain = (
            self._keeps_alive
            and parser.get_http_version() == "1.1"
            and names.count(b"content-length") == names.count(b"host") == 1
            and _NOT_PLAIN.isdisjoint(names)
        )

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        # Not later: where no body follows, the parser is at its next message by then.
        self._keeps_alive = self._parser.should_keep_alive()
