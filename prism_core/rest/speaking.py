"""Errors in the words of other protocols: their status and headers are the core's, the rest a plugin's."""

from __future__ import annotations

from collections.abc import Callable

from prism_core.dialects import said
from prism_core.errors import PrismError
from prism_core.gateway.faults import identified
from prism_core.rest.errors import Headers, as_prism_error, headers_of, problem_response

Say = Callable[[PrismError], tuple[str, bytes]]


def refusal_in(say: Say | None, error: Exception) -> tuple[int, Headers, bytes]:
    """Return status, headers and body of the answer to a request that failed; None for a problem document.

    One with status 500 is logged, and its ``details`` have the entry's ``error_id``. Words that cannot be
    sent are a fault themselves, and that is a problem document.
    """
    if say is None:
        return problem_response(error)
    told = identified(as_prism_error(error), error)
    try:
        media_type, body = said(say, told)
    except Exception as fault:
        return problem_response(fault)
    typed = [(b"content-type", media_type), (b"content-length", b"%d" % len(body))]
    return told.status, [*typed, *headers_of(told)], body
