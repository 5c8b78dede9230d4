"""Who asks: a browser that wants a page to show, or a program that wants JSON."""

from __future__ import annotations

from typing import Any

HTML = "text/html"
_JSON = ("application/json", "application/*", "*/*")


def wants_page(accept: str) -> bool:
    """Return whether an ``Accept`` header would rather have HTML: it names it, before JSON and anything.

    What names nothing, as curl, gets JSON.
    """
    if HTML not in accept:
        return False
    weights = dict(_weighed(one) for one in accept.split(","))
    html = weights.get(HTML, 0.0)
    return html > 0 and html > max((weights.get(name, 0.0) for name in _JSON), default=0.0)


def asks_page(scope: Any) -> bool:
    """Return whether the request of a scope would rather have HTML."""
    # Programs ask often: the header is read where it came, without making all of them readable.
    accept = next((value for name, value in scope["headers"] if name == b"accept"), b"")
    return wants_page(accept.decode("latin-1"))


def _weighed(one: str) -> tuple[str, float]:
    name, *parameters = (part.strip().lower() for part in one.split(";"))
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "q":
            try:
                return name, float(value)
            except ValueError:
                return name, 0.0
    return name, 1.0
