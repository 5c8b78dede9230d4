"""Views to HTML: jinja2 with autoescape everywhere, one style and one script within the page.

What a page may do is in its headers: nothing but its own style and script, by their hashes, and
requests to where it came from.
"""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from importlib.resources import files
from typing import Any

import attrs
from jinja2 import Environment, PackageLoader, StrictUndefined

from prism_core.gateway.views import VersionInfo
from prism_core.rest.errors import Headers
from prism_core.rest.pages import filters
from prism_core.rest.pages.place import Place
from prism_core.rest.pages.posted import posted
from prism_core.rest.pages.trying import Trial, attempt
from prism_core.rest.pages.view import view_of, with_trial

__all__ = ["attempt", "dress", "headers", "html", "model", "posted", "tried", "warm"]


@attrs.frozen
class Dress:
    """The style and the script of every page, and the policy that lets in these two."""

    style: str
    script: str
    policy: bytes


@lru_cache(maxsize=1)
def dress() -> Dress:
    """Return what every page wears; read once."""
    here = files("prism_core.rest.pages")
    style, script = ((here / name).read_text("utf-8") for name in ("page.css", "page.js"))
    policy = (
        "default-src 'none'; "
        f"style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "connect-src 'self'; img-src blob: data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    return Dress(style, script, policy.encode())


def warm() -> None:
    """Read and compile what every page needs."""
    dress()
    for name in ("model.html", "part.html", "stop.html"):
        _templates().get_template(name)


def model(version: VersionInfo, place: Place, *, filled: bool = False) -> bytes:
    """Return the page of ``version``."""
    return html("model.html", view=view_of(version, place, filled=filled))


def tried(version: VersionInfo, place: Place, trial: Trial, *, part: bool = False) -> bytes:
    """Return it with what came of a row; only the ``part`` that changes, if that is all that is wanted."""
    view = with_trial(view_of(version, place), trial)
    return html("part.html" if part else "model.html", view=view)


def html(template: str, **values: Any) -> bytes:
    """Return ``template`` with ``values``."""
    return _templates().get_template(template).render(dress=dress(), **values).encode("utf-8", "replace")


def headers() -> Headers:
    """Return the headers of every page: what it may do, and that it is nobody's to keep or to frame."""
    return [
        (b"content-security-policy", dress().policy),
        # Not no-referrer: browsers would send the forms of the page with `Origin: null`, as a stranger's.
        (b"referrer-policy", b"same-origin"),
        (b"cache-control", b"private, no-store"),
        (b"vary", b"Accept"),
    ]


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


@lru_cache(maxsize=1)
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("prism_core.rest.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(filters.ALL)
    return environment
