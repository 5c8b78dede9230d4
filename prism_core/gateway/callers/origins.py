"""Origins of pages, as browsers send them: a scheme, a host and perhaps a port."""

from __future__ import annotations

import re

ANY = "*"
WRITTEN = (
    "It is a scheme, a host and perhaps a port, in lower case and without a slash at its end, "
    "such as https://app.example.org or http://localhost:3000; or * for any."
)
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?")


def is_origin(text: str) -> bool:
    """Return whether ``text`` is an origin, or `ANY`."""
    return text == ANY or _ORIGIN.fullmatch(text) is not None
