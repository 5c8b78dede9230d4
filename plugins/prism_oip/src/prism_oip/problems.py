"""Errors as the protocol tells them: a JSON object with one string over REST, a status code over gRPC.

Neither grpc nor anything of HTTP is imported here: a runtime writes errors, too, where it is asked by
HTTP itself.
"""

from __future__ import annotations

import json
from enum import IntEnum

from prism_core.plugin import PrismError


class Code(IntEnum):
    """The codes of gRPC that errors have; names and numbers are gRPC's."""

    CANCELLED = 1
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


# UNAVAILABLE tells a client that another try may do, so it is what 502 says, too: a replica that was lost is
# replaced. 507 is a want of memory or disk, which another try does not cure.
_CODES = {
    400: Code.INVALID_ARGUMENT,
    401: Code.UNAUTHENTICATED,
    403: Code.PERMISSION_DENIED,
    404: Code.NOT_FOUND,
    405: Code.UNIMPLEMENTED,
    406: Code.INVALID_ARGUMENT,
    409: Code.FAILED_PRECONDITION,
    410: Code.NOT_FOUND,
    413: Code.INVALID_ARGUMENT,
    415: Code.INVALID_ARGUMENT,
    422: Code.INVALID_ARGUMENT,
    429: Code.RESOURCE_EXHAUSTED,
    499: Code.CANCELLED,
    502: Code.UNAVAILABLE,
    503: Code.UNAVAILABLE,
    504: Code.DEADLINE_EXCEEDED,
    507: Code.RESOURCE_EXHAUSTED,
}


def code_of(status: int) -> Code:
    """Return the gRPC code of an error with an HTTP ``status``; what is not known is INTERNAL."""
    return _CODES.get(status, Code.INTERNAL)


def told(error: PrismError) -> str:
    """Return the one string that a client gets: fact, next step, and under which id the log has more."""
    error_id = error.details.get("error_id", "")
    hint = "" if error.hint.startswith("`details`") else error.hint  # this protocol has no room for them
    return " ".join(part for part in (error.message, hint, f"[{error_id}]" if error_id else "") if part)


def problem(error: PrismError) -> tuple[str, bytes]:
    """Return media type and body of an error, as `Dialect.problem` and `Frontend.problem` want it.

    The body is ASCII: half characters, which a message may quote from a request, have no other form.
    """
    return "application/json", json.dumps({"error": told(error)}).encode("ascii")
