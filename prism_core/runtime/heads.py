"""The head of an HTTP/1.1 request, read strictly: what two servers might read differently is refused."""

from __future__ import annotations

import re
from urllib.parse import unquote

import msgspec

from prism_core.dialects import check_encoding
from prism_core.errors import HeadTooLarge, MalformedBody, MalformedRequest

MAX_HEADERS = 100
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FIRST = re.compile(r"([A-Z]{1,20}) (?:http://[^/? ]*)?(/[!-~]*) HTTP/1\.([01])")
_LENGTH = re.compile(r"[0-9]{1,18}")
# Of which there may be one: a second one would be for whoever reads it differently.
_ONCE = frozenset({"content-length", "content-type", "host", "authorization", "transfer-encoding", "expect"})
_END = "Send it as one HTTP/1.1 request, with a Content-Length."


class RequestHead(msgspec.Struct, frozen=True):
    """A request without its body; header names are lower case."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    length: int
    keeps: bool
    """Whether the connection goes on after the answer."""


def parse(data: bytes) -> RequestHead:
    """Read a head, which ends before its empty line.

    Raises
    ------
    MalformedRequest, HeadTooLarge
        If it cannot be read, or not in one way only.
    """
    first, *lines = data.decode("latin-1").split("\r\n")
    found = _FIRST.fullmatch(first)
    if found is None or "\n" in first:
        raise MalformedRequest("The request line cannot be read.", hint=_END)
    headers = _headers(lines)
    path, _, query = found[2].partition("?")
    options = {word.strip() for word in headers.get("connection", "").lower().split(",")}
    keeps = "close" not in options and (found[3] == "1" or "keep-alive" in options)
    if found[3] == "1" and "host" not in headers:
        raise MalformedRequest("The request names no host.", hint=_END)
    return RequestHead(found[1], unquote(path), query, headers, _length(headers), keeps)


def _headers(lines: list[str]) -> dict[str, str]:
    if len(lines) > MAX_HEADERS:
        raise HeadTooLarge(f"The request has more than {MAX_HEADERS} headers.")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not _NAME.fullmatch(name) or any(one in value for one in "\r\n\0"):
            raise MalformedRequest("A header of the request cannot be read.", hint=_END)
        name, value = name.lower(), value.strip(" \t")
        if name in headers:
            if name in _ONCE:
                raise MalformedRequest(f"The request has the header {name!r} twice.", hint=_END)
            value = f"{headers[name]}, {value}"
        headers[name] = value
    return headers


def _length(headers: dict[str, str]) -> int:
    if "transfer-encoding" in headers:
        raise MalformedRequest("The length of the body is not told.", hint=_END)
    told = headers.get("content-length", "0")
    if not _LENGTH.fullmatch(told):
        raise MalformedRequest("The request's Content-Length is none.", hint=_END)
    return int(told)


def body_type(head: RequestHead) -> str:
    """Return what the body is.

    Raises
    ------
    UnsupportedInput
        If it is packed.
    """
    check_encoding(head.headers.get("content-encoding", ""))
    told = head.headers.get("content-type", "")
    return "" if told.startswith("application/x-www-form-urlencoded") else told  # `curl -d` says that unasked


def timeout_of(head: RequestHead, default_s: float) -> float:
    """Return how many seconds the answer may take.

    Raises
    ------
    MalformedBody
        If ``X-Prism-Timeout`` is not a time.
    """
    told = head.headers.get("x-prism-timeout", "")
    try:
        seconds = float(told) if told else default_s
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 86_400:
        raise MalformedBody(
            "X-Prism-Timeout is not a number of seconds between 0 and 86400.",
            hint="For instance X-Prism-Timeout: 2.5",
        )
    return seconds
