"""The relay's own answers: problems as PRISM tells them."""

from __future__ import annotations

import math
from http import HTTPStatus

import msgspec

from prism_tunnel.relay.hall import Refusal


def refusal_bytes(refusal: Refusal, *, body: bool = True) -> bytes:
    """Return a whole answer, after which the connection is closed."""
    problem = {
        "type": f"urn:prism:error:{refusal.code}",
        "title": refusal.code.replace("_", " ").capitalize(),
        "status": refusal.status,
        "code": refusal.code,
        "detail": refusal.message,
        "hint": refusal.hint,
        "details": {},
    }
    content = msgspec.json.encode(problem)
    lines = [
        f"HTTP/1.1 {refusal.status} {HTTPStatus(refusal.status).phrase}".encode(),
        b"content-type: application/problem+json",
        b"content-length: %d" % len(content),
        b"cache-control: no-store",
        b"connection: close",
    ]
    if refusal.retry_s:
        lines.append(b"retry-after: %d" % math.ceil(refusal.retry_s))
    if refusal.location:
        lines.append(b"location: " + refusal.location)
    return b"\r\n".join([*lines, b"", content if body else b""])
