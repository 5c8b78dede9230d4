"""Every error as ``application/problem+json`` (RFC 9457): the one place where errors meet HTTP.

A `PrismError` is shown as it is, because it is written for remote callers. Anything else
is a fault of ours: the caller learns an ``error_id``, the log learns the rest.
"""

from __future__ import annotations

import math
import re
from typing import Any

import msgspec
import structlog
from litestar.exceptions import HTTPException, MethodNotAllowedException, NotFoundException

from prism_core.errors import (
    InvalidParameter,
    MethodNotAllowed,
    PayloadTooLarge,
    PrismError,
    RateLimited,
    RouteNotFound,
    Unauthorized,
)
from prism_core.gateway.callers.door import pairs_of
from prism_core.gateway.faults import internal_error, noted

log = structlog.get_logger(__name__)

MEDIA_TYPE = b"application/problem+json"

Headers = list[tuple[bytes, bytes]]


def problem_response(error: Exception) -> tuple[int, Headers, bytes]:
    """Return status, headers and body of the answer to a request that failed with ``error``."""
    told = as_prism_error(error)
    body = _encode(problem(told, cause=error))
    headers = [(b"content-type", MEDIA_TYPE), (b"content-length", b"%d" % len(body)), *headers_of(told)]
    return told.status, headers, body


def problem(error: Exception, *, cause: Exception | None = None) -> dict[str, Any]:
    """Return the problem document of ``error``; one with status 500 is logged and gets an ``error_id``.

    ``cause`` is what really happened, for the log, where ``error`` only stands for it.
    """
    told = as_prism_error(error)
    document: dict[str, Any] = {
        "type": f"urn:prism:error:{told.code}",
        "title": told.code.replace("_", " ").capitalize(),
        "status": told.status,
        "code": told.code,
        "detail": told.message,
        "hint": told.hint,
        "details": told.details,
    }
    if told.status == 500:
        document["error_id"] = noted(told, cause or error)
    return document


def as_prism_error(error: Exception) -> PrismError:
    """Return ``error`` as something that may be shown to a remote caller."""
    if isinstance(error, PrismError):
        return error
    if isinstance(error, MethodNotAllowedException):
        allowed = (error.headers or {}).get("allow", "")
        return MethodNotAllowed(
            "This route does not take this method.", hint=f"Use {allowed}.", details={"allow": allowed}
        )
    if isinstance(error, NotFoundException):
        return RouteNotFound("There is no such route.", hint="GET /openapi.json lists all routes.")
    if isinstance(error, HTTPException) and error.status_code == 413:
        return PayloadTooLarge("The body is larger than this route takes.")
    if isinstance(error, HTTPException) and error.status_code < 500:
        # Litestar's texts speak of its own classes; the names of the wrong parameters are enough.
        wrong = [str(found["key"]) for found in _extra(error) if "key" in found]
        named = f" {', '.join(map(repr, wrong))}" if wrong else ""
        return InvalidParameter(f"A parameter or header of the request is wrong:{named or ' see the route'}.")
    return internal_error()


def _extra(error: HTTPException) -> list[dict[str, Any]]:
    extra = error.extra
    return [found for found in extra if isinstance(found, dict)] if isinstance(extra, list) else []


def headers_of(error: PrismError) -> Headers:
    """Return the headers that an error brings along."""
    headers: Headers = []
    retry_after_s = error.details.get("retry_after_s")
    if isinstance(retry_after_s, int | float) and math.isfinite(retry_after_s):
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(retry_after_s))))
    if isinstance(error, Unauthorized):
        headers.append((b"www-authenticate", b"Bearer"))
    if isinstance(error, RateLimited):
        headers.extend(pairs_of(error.lines))
    if isinstance(error, MethodNotAllowed):
        # A replica, which has run somebody's model, may have said this: it is no header of its making.
        allowed = re.sub(r"[^A-Z, ]", "", str(error.details.get("allow", "")))
        headers.append((b"allow", allowed.encode()))
    return headers


def _encode(document: dict[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(document, enc_hook=str)
    except Exception as error:  # an error must not fail on its own details, whatever a plugin put there
        log.warning("rest.problem_not_encodable", code=document["code"], reason=repr(error))
        text = document["detail"].encode("utf-8", "replace").decode()
        return msgspec.json.encode(document | {"detail": text, "hint": "", "details": {}})
