"""Errors where a page was wanted: told to people as a page, to programs as a problem document."""

from __future__ import annotations

import re
from typing import Any

from prism_core.errors import Unauthorized
from prism_core.rest.errors import Headers, as_prism_error, problem, problem_response
from prism_core.rest.pages.accept import asks_page

_PAGES = re.compile(r"/(?:model/[^/]+(?:/versions/[^/]+)?|s/[^/]+(?:/open)?)/?")


def refusal(scope: Any, error: Exception) -> tuple[int, Headers, bytes]:
    """Return status, headers and body of the answer to a request that failed with ``error``."""
    if not asks_page(scope) or not _PAGES.fullmatch(scope["path"]):
        return problem_response(error)
    from prism_core.rest.pages import rendering
    from prism_core.rest.pages.stops import end_of, key_gate

    told = as_prism_error(error)
    asks_key = isinstance(told, Unauthorized) and scope["path"].startswith("/model/")
    shown = any(name in (b"authorization", b"x-api-key") for name, _ in scope["headers"])
    if asks_key:
        stop = key_gate("This key does not open it." if shown else "")
    else:
        stop = end_of(told, problem(told, cause=error).get("error_id", ""))
    status, headers, _ = problem_response(told) if told.status != 500 else (500, [], b"")
    kept = [pair for pair in headers if pair[0] not in (b"content-type", b"content-length")]
    body = rendering.html("stop.html", stop=stop)
    typed = [(b"content-type", b"text/html; charset=utf-8"), (b"content-length", b"%d" % len(body))]
    return status, [*typed, *rendering.headers(), *kept], body
