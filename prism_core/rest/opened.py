"""``POST /s/SLUG/open``: a link's token, and its password, for a session.

A program sends JSON and keeps what it is answered. A page sends a form: its browser keeps
the session in a cookie, which goes back to this link alone, and is led to the page.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

import attrs
import msgspec
from litestar import Request
from litestar.response import Response

from prism_core.errors import MalformedBody, PayloadTooLarge, PrismError, UnsupportedInput
from prism_core.gateway.callers import sessions
from prism_core.gateway.callers.door import Door, told_of
from prism_core.gateway.callers.link_table import Held, shown
from prism_core.gateway.callers.unlocking import Unlocking
from prism_core.rest.public import Answer, answer

AnyRequest = Request[Any, Any, Any]

FORM, JSON = "application/x-www-form-urlencoded", "application/json"
# A token and a password are short.
MAX_BODY_BYTES = 4096


@attrs.frozen
class Shown:
    """What a request shows to open a link."""

    token: str = ""
    password: str = ""


async def opened(unlocking: Unlocking, request: AnyRequest, held: Held, door: Door) -> Answer:
    """Answer a request that opens a link; ``door`` counts those that do not.

    Raises
    ------
    RateLimited, Unauthorized, MalformedBody, PayloadTooLarge, UnsupportedInput
        If it does not open it, to a program; a page is led back to where it came from.
    """
    slug, headers = held.link.slug, told_of(request.scope["headers"])
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        given = await _read(request, media_type)
        token = given.token or next(iter(shown(headers)), "")
        session, ends = await unlocking.open(held, token, given.password)
    except PrismError as error:
        door.count(error)
        if media_type == FORM:
            return _led(f"../{slug}?refused={error.code}")
        raise
    if media_type == FORM:
        response = _led(f"../{slug}")
        response.headers["set-cookie"] = cookie(session, secure=_is_secure(request, headers))
        return response
    return answer({"session": session, "expires": ends})


def cookie(session: str, *, secure: bool) -> str:
    """Return the cookie of a session.

    It has no ``Path``: browsers take that of the request then, ``/s/SLUG``, with whatever a proxy
    has put in front of it.
    """
    text = f"{sessions.COOKIE}={session}; Max-Age={int(sessions.LASTS_S)}; HttpOnly; SameSite=Lax"
    return f"{text}; Secure" if secure else text


def _is_secure(request: AnyRequest, headers: dict[str, str]) -> bool:
    """Return whether a page was asked by https, perhaps up to a tunnel's or a proxy's other end."""
    return request.scope["scheme"] == "https" or headers.get("origin", "").startswith("https://")


def _led(where: str) -> Answer:
    # From the page to the page, by whatever address it has: what is in front of /s/ is not known here.
    return Response(b"", status_code=303, headers={"location": where})


async def _read(request: AnyRequest, media_type: str) -> Shown:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY_BYTES:
            raise PayloadTooLarge(f"What opens a link has at most {MAX_BODY_BYTES} bytes.")
    try:
        if media_type == FORM:
            fields = parse_qs(body.decode(), max_num_fields=10)
            return Shown(*(fields.get(name, [""])[-1] for name in ("token", "password")))
        if media_type in (JSON, ""):
            return msgspec.json.decode(bytes(body) or b"{}", type=Shown)
    except (ValueError, msgspec.MsgspecError):
        raise MalformedBody(
            "This is not what opens a link.", hint='Send {"token": "...", "password": "..."}.'
        ) from None
    raise UnsupportedInput("A link is opened with JSON, or with the form of its page.", hint=f"Send {JSON}.")
