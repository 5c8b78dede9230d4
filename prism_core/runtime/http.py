"""Plain HTTP on the runtime's socket, so that a replica is useful alone.

``curl --unix-socket replica.sock http://replica/predict -d '{"input": [[1, 2]]}'``. Just
what that needs: one request at a time on a connection, bodies with a Content-Length.
The gateway never speaks it.
"""

from __future__ import annotations

import asyncio
import hmac
from http import HTTPStatus
from typing import TYPE_CHECKING

import orjson

from prism_core.errors import MalformedBody, PayloadTooLarge, PrismError, Unauthorized, UnsupportedInput
from prism_core.runtime.batching import Waiting
from prism_core.runtime.engine import Answered

if TYPE_CHECKING:  # server imports this module
    from prism_core.runtime.server import Service

MAX_HEAD_BYTES = 64 * 1024
MAX_BODY_BYTES = 1 << 31


class HttpConnection(asyncio.Protocol):
    """One HTTP/1.1 client."""

    def __init__(self, service: Service, transport: asyncio.Transport) -> None:
        self._service = service
        self._transport = transport
        self._data = bytearray()
        self._waiting: Waiting | None = None
        self._answering = False

    def connection_lost(self, error: Exception | None) -> None:  # noqa: D102 - asyncio's
        self._service.connections.discard(self._transport)
        if self._waiting and self._service.engine:
            self._service.engine.cancel(self._waiting)

    def data_received(self, data: bytes) -> None:  # noqa: D102 - asyncio's
        self._data += data
        if not self._answering:
            self._advance()

    def _advance(self) -> None:
        head, found, _ = bytes(self._data[:MAX_HEAD_BYTES]).partition(b"\r\n\r\n")
        if not found:
            if len(self._data) > MAX_HEAD_BYTES:
                self._problem(PayloadTooLarge("The request's head is too large."), close=True)
            return
        try:
            method, target, headers = _parse_head(head)
            length = _length(headers)
        except ValueError:
            self._problem(MalformedBody("The request's head cannot be read."), close=True)
            return
        if length < 0 or length > MAX_BODY_BYTES:
            self._problem(MalformedBody("The request needs a Content-Length."), close=True)
            return
        end = len(head) + 4 + length
        if len(self._data) >= end:
            body = bytes(self._data[len(head) + 4 : end])
            del self._data[:end]
            self._answering = True
            self._route(method, target, headers, body)
        elif headers.get("expect", "").lower() == "100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _route(self, method: str, target: str, headers: dict[str, str], body: bytes) -> None:
        path, _, query = target.partition("?")
        token = headers.get("authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(token.encode("latin-1"), self._service.token.encode()):
            self._problem(Unauthorized("The replica's token is missing or wrong."))
        elif (method, path) == ("GET", "/health"):
            self._health()
        elif (method, path) == ("POST", "/predict"):
            self._predict(headers, query, body)
        else:
            self._send(404, "application/problem+json", b'{"status": 404, "title": "Not found"}')

    def _health(self) -> None:
        if self._service.engine is None:
            assert self._service.failure is not None
            self._problem(self._service.failure)
            return
        manifest = self._service.engine.session.manifest
        facts = {"model": manifest.model, "version": manifest.version, "state": "ready"}
        self._send(200, "application/json", orjson.dumps(facts))

    def _predict(self, headers: dict[str, str], query: str, body: bytes) -> None:
        engine = self._service.engine
        accept = headers.get("accept", "")
        try:
            if engine is None:
                assert self._service.failure is not None
                raise self._service.failure
            if headers.get("content-encoding", "identity") != "identity":
                raise UnsupportedInput("The body is compressed.", hint="Send it as it is.")
            media_type = headers.get("content-type", "")
            if media_type == "application/x-www-form-urlencoded":
                media_type = ""  # what curl -d sends unasked
            engine.session.check_accept(accept)
            batch = engine.session.read(memoryview(body), media_type, query, accept)
            self._waiting = engine.submit(batch, 0.0, lambda answered: self._answered(answered, accept))
            engine.begin_soon()
        except PrismError as error:
            self._problem(error)
        except Exception:
            assert engine is not None
            self._problem(engine.session.internal("A normalizer"))

    def _answered(self, answered: Answered, accept: str) -> None:
        self._waiting = None
        engine = self._service.engine
        assert engine is not None
        if isinstance(answered.outputs, PrismError):
            self._problem(answered.outputs)
            return
        try:
            self._send(200, *engine.session.write(answered.outputs, accept))
        except PrismError as error:
            self._problem(error)
        except Exception:
            self._problem(engine.session.internal("An encoder"))

    def _problem(self, error: PrismError, *, close: bool = False) -> None:
        facts = {
            "title": HTTPStatus(error.status).phrase,
            "status": error.status,
            "code": error.code,
            "detail": error.message,
            "hint": error.hint,
            "details": error.details,
        }
        self._send(error.status, "application/problem+json", orjson.dumps(facts), close=close)

    def _send(self, status: int, media_type: str, body: bytes, *, close: bool = False) -> None:
        keep = "close" if close else "keep-alive"
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: {media_type}\r\n"
            f"content-length: {len(body)}\r\nconnection: {keep}\r\n\r\n"
        )
        self._transport.write(head.encode("latin-1") + body)
        self._answering = False
        if close:
            self._transport.close()
        elif self._data:
            asyncio.get_running_loop().call_soon(self._advance)


def _length(headers: dict[str, str]) -> int:
    text = headers.get("content-length", "0")
    if "transfer-encoding" in headers:
        return -1
    if not (text.isascii() and text.isdigit()):
        raise ValueError("no length")
    return int(text)


def _parse_head(head: bytes) -> tuple[str, str, dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    pairs = (line.partition(":") for line in lines)
    return method, target, {name.strip().lower(): value.strip() for name, _, value in pairs}
