"""What the heads of plain predict requests say, each parsed once and then known by its exact bytes.

The clients of a model send the same head with every request, but for the length of the body.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import unquote

import attrs
import httptools

from prism_core.gateway.callers.door import Door, told_of
from prism_core.gateway.callers.link import MARK
from prism_core.gateway.prediction import Head, OnAnswer
from prism_core.gateway.service import PredictService
from prism_core.gateway.traffic.askable import Pending
from prism_core.gateway.traffic.sender import AskSender
from prism_core.rest.cors import Cors
from prism_core.rest.errors import Headers
from prism_core.rest.predict import PredictFront, PredictHead, Way, head_of
from prism_core.rest.requests import HEADER, without_id
from prism_core.serving import Dialect

Ask = Callable[[str, Head, bytes | memoryview, float, OnAnswer, str, AskSender], Pending | None]

# A hostile client can make up heads; then all are learned anew.
REMEMBERED = 4096
_NOT_PLAIN = frozenset({b"transfer-encoding", b"expect", b"upgrade", HEADER})


@attrs.frozen(slots=True)
class PlainHead:
    """The head of a plain predict request: what it says, its headers for the door, lines of its answer.

    Who sent it is not in here: a caller is looked up for every request. ``ask`` is the service's,
    which is one look-up less for each.
    """

    asked: PredictHead
    dialect: Dialect | None
    headers: Mapping[str, str]
    path: str
    door: Door | None
    service: PredictService
    ask: Ask
    lines: bytes


@attrs.frozen(slots=True)
class LinkHead:
    """The same where what answers tell pages of other origins is not the settings' but the link's own."""

    asked: PredictHead
    dialect: Dialect | None
    headers: Mapping[str, str]
    path: str
    door: Door | None
    service: PredictService
    ask: Ask
    cors: Cors
    origin: Headers

    @property
    def lines(self) -> bytes:
        """Lines of the answer, as the link is now."""
        return self.cors.lines(self.path, self.origin) if self.origin else b""


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
        The last refusal, whose words they are, and its bytes: a crowded lane refuses all with the same one.
    """

    def __init__(self, front: PredictFront, max_headers: int) -> None:
        self.front = front
        self._max_headers = max_headers
        self.refusal: tuple[Exception | None, Dialect | None, bytes, bytes] = (None, None, b"", b"")
        self.known: dict[bytes, PlainHead | LinkHead] = {}

    def find(self, head: bytes) -> tuple[PlainHead | LinkHead | None, str]:
        """Return what ``head``, all bytes of it, says, None if the request is not plain; and its id.

        An id would make every head a new one, and push the others out: it is taken off first.
        """
        rest, request = without_id(head)
        return self.known.get(rest) or self._read(rest), request

    def _read(self, head: bytes) -> PlainHead | LinkHead | None:
        # A bare line feed might end the head earlier than the bytes that were looked for.
        if not head.startswith(b"POST ") or head.count(b"\n") != head.count(b"\r\n"):
            return None
        try:
            found = _Parsed(head)
            plain = found.plain and len(found.headers) <= self._max_headers
            route = self.front.routes.find(found.path) if plain else None
            way = self.front.way(route.reference) if route else None
            asked = head_of(route, found.headers, found.query) if route and way else None
        except Exception:  # of the parser, of the head, of a dialect's function
            return None  # it is told what is wrong each time it comes
        if route is None or asked is None or way is None or asked.length > self.front.max_body_bytes:
            return None
        if len(self.known) >= REMEMBERED:
            self.known.clear()
        known = self.known[head] = _known(way, route.dialect, asked, found)
        return known


def _known(way: Way, dialect: Dialect | None, asked: PredictHead, found: _Parsed) -> PlainHead | LinkHead:
    service, cors = way.service, way.cors
    known = (asked, dialect, told_of(found.headers), found.path, way.door, service, service.ask)
    if cors is not None and asked.reference.startswith(MARK):
        return LinkHead(*known, cors, [pair for pair in found.headers if pair[0] == b"origin"])
    return PlainHead(*known, cors.lines(found.path, found.headers) if cors is not None else b"")


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
