"""The predict routes, as a thin ASGI application in front of everything else.

Litestar's routing costs a third of the throughput even for a raw mount (measured; see
docs/explanation/architecture.md), so the routes of a prediction are matched here, those of
dialects too, and every other request is handed on. No middleware, no dependency injection, no parsing of
bodies.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import attrs

from prism_core.dialects import check_encoding, media_type_of, written
from prism_core.errors import MalformedBody, MethodNotAllowed, PayloadTooLarge
from prism_core.gateway.callers.door import ENTRY, Door, Entry, discreet, pairs_of, told_of
from prism_core.gateway.callers.link import MARK, caller_id
from prism_core.gateway.prediction import Head, Prediction
from prism_core.gateway.service import PredictService
from prism_core.gateway.traffic.sender import Sender
from prism_core.rest.access import PREDICTION, VALUES, AccessLog
from prism_core.rest.cors import Cors, is_preflight, telling
from prism_core.rest.entrance import REFUSED
from prism_core.rest.errors import Headers
from prism_core.rest.requests import REQUEST
from prism_core.rest.routing import Route, Routes
from prism_core.rest.speaking import refusal_in
from prism_core.serving import Dialect

# Only a request that is still unanswered after this long is watched for a client that
# hangs up: watching costs a task, and most answers are quicker.
WATCH_AFTER_S = 0.05

# A media type as it may stand in a head; the lines of those that were answered, as many as are kept.
_LINE = re.compile(r"[\x20-\x7e]{1,256}")
_content_types: dict[str, bytes] = {}
REMEMBERED = 64

# Where the routes of links are, and how their callers' ids begin.
LINKS, OF_LINKS = "/s/", caller_id("")


@attrs.frozen(slots=True)
class PredictHead:
    """What the head of a predict request says. ``length`` is its Content-Length, 0 where it has none."""

    reference: str
    head: Head
    timeout_s: float
    length: int


def head_of(route: Route, headers: Headers, query: bytes) -> PredictHead:
    """Read the head of a predict request; header names are lower case.

    Raises
    ------
    MalformedBody
        If ``X-Prism-Timeout`` or ``X-Scale-Up-Timeout`` is not a time.
    UnsupportedInput
        If the body is compressed, but for what a dialect's runtime unpacks.
    Exception
        Whatever a dialect raises.
    """
    dialect = route.dialect
    media_type = accept = ""
    length, timeout_s, hold_s, no_store = 0, 0.0, 0.0, False
    for name, value in headers:
        if name == b"content-type":
            media_type = value.decode("latin-1")
        elif name == b"content-length":
            length = int(value)
        elif name == b"content-encoding" and dialect is None:
            check_encoding(value.decode("latin-1"))
        elif name == b"accept":
            accept = value.decode("latin-1")
        elif name == b"cache-control":
            no_store = b"no-store" in value or b"no-cache" in value
        elif name == b"x-prism-timeout":
            timeout_s = _seconds("X-Prism-Timeout", value)
        elif name == b"x-scale-up-timeout":
            hold_s = _seconds("X-Scale-Up-Timeout", value)
    told = query.decode("latin-1")
    if dialect is not None:
        media_type, accept, told = media_type_of(dialect, told_of(headers)), dialect.accept, ""
    elif media_type.startswith("application/x-www-form-urlencoded"):
        media_type = ""  # what curl -d sends unasked
    head = Head(media_type, accept, told, route.style, cached=not no_store, hold_s=hold_s)
    return PredictHead(route.reference, head, timeout_s, length)


@attrs.frozen(eq=False)
class Way:
    """How predictions are had: where from, whom to ask before, and which pages may read the answers.

    Parameters
    ----------
    service
        Where predictions come from.
    door
        Asked with each request's head; None lets everybody in.
    cors
        None: no pages of other origins.
    elsewhere
        Whether a reference is answered by another process, to which ``others`` leads.
    """

    service: PredictService
    door: Door | None = None
    cors: Cors | None = None
    elsewhere: Callable[[str], bool] = lambda reference: False


class PredictFront:
    """Answers on the predict routes; hands every other scope to ``others``.

    To its own routes predictions are posted, anything else that is done to them is another's. Those of
    a dialect are the dialect's whatever is done to them.

    Parameters
    ----------
    service
        Where predictions come from; None: there are no routes of models here.
    others
        The ASGI application of all other routes.
    max_body_bytes
        A larger body is answered 413, before it is read where its length is given.
    door
        Asked with each request's head; None lets everybody in.
    access
        Where each request is told, if anywhere.
    cors
        Which pages may read answers; None: no pages of other origins.
    links
        How links predict; None: there are no routes of links here.
    routes
        The routes, with those of dialects.
    """

    def __init__(
        self,
        service: PredictService | None,
        others: Any,
        *,
        max_body_bytes: int,
        door: Door | None = None,
        access: AccessLog | None = None,
        cors: Cors | None = None,
        links: Way | None = None,
        routes: Routes | None = None,
    ) -> None:
        # A door that asks nothing is none.
        self._models = Way(service, door or None, cors) if service is not None else None
        self._links = links
        self.access = access
        self.max_body_bytes = max_body_bytes
        self._others = others
        self.routes = routes or Routes()

    def way(self, reference: str) -> Way | None:
        """Return how predictions of ``reference`` are had here; None: they are not."""
        if not reference.startswith(MARK):
            return self._models
        links = self._links
        return None if links is None or links.elsewhere(reference) else links

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one ASGI scope."""
        if scope["type"] != "http":
            await self._others(scope, receive, send)
        elif (cors := self._cors(scope)) is not None:
            await _send(send, *cors.preflight(scope["path"], scope["headers"]))
        elif (asked := self._asked(scope)) is not None:
            way, route = asked
            if way.cors is not None:
                send = telling(way.cors, scope, send, kept=False)
            await self._predict(way, route, scope, receive, send)
        else:
            await self._others(scope, receive, send)

    def _asked(self, scope: Any) -> tuple[Way, Route] | None:
        """Return the route of a request that is answered here, and how that has its predictions."""
        route = self.routes.find(scope["path"])
        if route is None or (route.dialect is None and scope["method"] != "POST"):
            return None
        way = self.way(route.reference)
        return (way, route) if way is not None else None

    def _cors(self, scope: Any) -> Cors | None:
        """Return who answers a page that asks whether it may, None where no page asks, or nobody knows."""
        if not is_preflight(scope):
            return None
        way = self._links if scope["path"].startswith(LINKS) else self._models
        return way.cors if way is not None else None

    def failed(self, entry: Entry, error: Exception) -> Exception:
        """Tell the door that a call it let in has no answer; return what the caller is told."""
        way = self._links if entry.call.caller.id.startswith(OF_LINKS) else self._models
        if way is not None and way.door is not None:
            way.door.failed(entry, error)
        return discreet(error, entry.call.caller)

    async def _predict(self, way: Way, route: Route, scope: Any, receive: Any, send: Any) -> None:
        entry = None
        try:
            asked = head_of(route, scope["headers"], scope["query_string"])
            if REFUSED in scope:
                raise scope[REFUSED]
            if way.door is not None:
                entry = scope[ENTRY] = entered(
                    way.door, asked, told_of(scope["headers"]), scope.get("client")
                )
            check_method(scope["method"])
            lane = way.service.lane(asked.reference)
            body = await self._body(asked.length, receive)
            if body is None:
                return
            if self.access is not None:
                scope[VALUES] = self.access.values_of(way.service.meant(asked.reference), body)
            predicting = lane.predict(
                asked.head,
                body,
                asked.timeout_s,
                scope.get(REQUEST, ""),
                lambda: sender_of(told_of(scope["headers"]), scope.get("client"), entry),
            )
            prediction = await self._answer(predicting, receive)
            if prediction is None:
                return
            lines = lines_of(route.dialect, prediction)
        except Exception as error:
            told = self.failed(entry, error) if entry is not None else error
            say = route.dialect.problem if route.dialect else None
            status, headers, content = refusal_in(say, told)
            headers += pairs_of(entry.lines) if entry else ()
            if isinstance(error, PayloadTooLarge):  # what is left of the body is not worth reading
                headers.append((b"connection", b"close"))
            await _send(send, status, headers, content)
            return
        scope[PREDICTION] = prediction
        headers = headers_of(prediction, lines) + (pairs_of(entry.lines) if entry else [])
        await _send(send, 200, headers, bytes(prediction.body))

    async def _body(self, length: int, receive: Any) -> bytes | None:
        """Return the whole body, or None if the client went away before it was sent."""
        if length > self.max_body_bytes:
            raise self._too_large()
        message = await receive()
        body = message.get("body", b"")
        if not message.get("more_body"):
            return None if message["type"] == "http.disconnect" else body
        parts, size = [body], len(body)
        while message.get("more_body"):
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self.max_body_bytes:
                raise self._too_large()
        return b"".join(parts)

    async def _answer(self, predicting: Awaitable[Prediction], receive: Any) -> Prediction | None:
        """Await the prediction; give it up, and return None, when the client hangs up meanwhile."""
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        watch = Watch(task, receive)
        timer = loop.call_later(WATCH_AFTER_S, watch.start)
        try:
            return await predicting
        except asyncio.CancelledError:
            if watch.hung_up:
                task.uncancel()
                return None
            raise
        finally:
            timer.cancel()
            watch.stop()

    def _too_large(self) -> PayloadTooLarge:
        return PayloadTooLarge(
            f"The body is larger than {self.max_body_bytes} bytes.",
            hint="Send fewer rows at a time; limits.max_body is the server's setting.",
        )


def entered(
    door: Door, asked: PredictHead, headers: Mapping[str, str], client: tuple[str, int] | None
) -> Entry:
    """Ask a door to let a prediction in; it raises to refuse."""
    return door.enter(asked.reference, "predict", headers, client[0] if client else "", asked.length)


def sender_of(headers: Mapping[str, str], client: tuple[str, int] | None, entry: Entry | None) -> Sender:
    """Return who sent a request, as the door has found out where there is one."""
    if entry is not None:
        return Sender(headers, entry.call.client, entry.caller.id)
    return Sender(headers, client[0] if client else "")


class Watch:
    """Cancels a task when its client hangs up."""

    def __init__(self, task: asyncio.Task[Any], receive: Any) -> None:
        self.hung_up = False
        self._task = task
        self._receive = receive
        self._watching: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to watch."""
        self._watching = asyncio.get_running_loop().create_task(self._watch())

    def stop(self) -> None:
        """Watch no longer."""
        if self._watching:
            self._watching.cancel()

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            continue
        self.hung_up = True
        self._task.cancel()


def check_method(method: str) -> None:
    """Refuse what is no POST, as routes of dialects do by themselves."""
    if method != "POST":
        raise MethodNotAllowed(
            "This route does not take this method.", hint="Use POST.", details={"allow": "POST"}
        )


def content_type(media_type: str) -> bytes:
    """Return the header line that says what an answer's body is.

    A runtime says it, and a hostile one may say what would be more header lines.
    """
    line = _content_types.get(media_type)
    if line is None:
        if not _LINE.fullmatch(media_type):
            return b"content-type: application/octet-stream\r\n"
        if len(_content_types) >= REMEMBERED:
            _content_types.clear()
        line = _content_types[media_type] = b"content-type: %b\r\n" % media_type.encode()
    return line


def lines_of(dialect: Dialect | None, prediction: Prediction) -> bytes:
    """Return the header lines that say what an answer's body is; a dialect may cut that body.

    Raises
    ------
    Exception
        Whatever a dialect raises.
    """
    if dialect is None:
        return content_type(prediction.media_type)
    lines, prediction.body = written(dialect, prediction.body)
    return lines


async def _send(send: Any, status: int, headers: Headers, body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def headers_of(prediction: Prediction, lines: bytes = b"") -> Headers:
    """Return the response headers of an answer, whose ``lines`` say what it is."""
    return [
        *pairs_of(lines),
        (b"content-length", b"%d" % len(prediction.body)),
        (
            b"server-timing",
            b"queue;dur=%.3f, compute;dur=%.3f" % (prediction.queue_us / 1000, prediction.compute_us / 1000),
        ),
        (b"x-prism-model-version", b"%d" % prediction.version),
        (b"x-prism-cache", prediction.cache.encode()),
        (b"x-prism-batch", b"%d" % prediction.batch_rows),
        *pairs_of(prediction.lines),
    ]


def _seconds(header: str, value: bytes) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 86_400:
        raise MalformedBody(
            f"{header} is not a number of seconds between 0 and 86400.",
            hint=f"For instance {header}: 2.5",
        )
    return seconds
