"""Who asks at a link, and what they may know. For the handlers of links.

They ask the door by themselves: a page is shown to somebody who has shown nothing yet.
"""

from __future__ import annotations

from typing import Any

import attrs
from litestar import Request

from prism_core.gateway.callers.door import ENTRY, Entry, told_of
from prism_core.gateway.callers.link import MARK, Link
from prism_core.gateway.callers.link_door import LinkDoor, Looking
from prism_core.gateway.callers.link_table import Held
from prism_core.gateway.gateway import Gateway
from prism_core.gateway.registry import split
from prism_core.gateway.views import ModelInfo, VersionInfo
from prism_core.rest.describe import example, sample, signature_of
from prism_core.rest.public import Found, resolve
from prism_core.rest.snippets import curl

# Where a scope holds what the door has said of it.
HEARD = "prism.heard"

# Where the shell has a link's token, in examples of requests.
SECRET = "$PRISM_TOKEN"

AnyRequest = Request[Any, Any, Any]


@attrs.define
class Heard:
    """What the door has said of a request, as its handlers hear it."""

    lines: bytes = b""
    entry: Entry | None = None


def knocking(door: LinkDoor, request: AnyRequest, slug: str) -> Held:
    """Return a link that has not ended, to somebody who is about to show what opens it.

    It counts to the address's limit, and to no other.

    Raises
    ------
    LinkNotFound, LinkExpired, Forbidden, RateLimited
        If there is nothing to open.
    """
    held, lines = door.knock(slug, told_of(request.scope["headers"]), client_of(request))
    _heard(request).lines = lines
    return held


def looking(door: LinkDoor, request: AnyRequest, slug: str) -> Looking:
    """Return who looks at the page of a link.

    ``caller`` None: nobody who may know more than that there is a link, and whether it asks for a
    password. It counts to the address's limit, and to no other.

    Raises
    ------
    LinkNotFound, LinkExpired, Forbidden, RateLimited
        If there is nothing to look at.
    """
    seen = door.look(slug, told_of(request.scope["headers"]), client_of(request))
    _heard(request).lines = seen.lines
    return seen


def entering(door: LinkDoor, request: AnyRequest, slug: str, verb: str) -> Entry:
    """Let a request of a link in, to "read" or to "predict", and count it.

    The access log knows from there on who it was.

    Raises
    ------
    LinkNotFound, LinkExpired, Forbidden, Unauthorized, RateLimited
        If it may not.
    """
    entry = door.enter(MARK + slug, verb, told_of(request.scope["headers"]), client_of(request))
    scope: Any = request.scope
    scope[ENTRY] = entry
    heard = _heard(request)
    heard.entry, heard.lines = entry, entry.lines
    return entry


def found(gateway: Gateway, reference: str) -> Found:
    """Return the model and the version of ``churn``, ``churn@champion`` or ``churn/3``, in whatever state.

    Raises
    ------
    ModelNotFound
        If there is none.
    """
    name, alias, number = split(reference)
    return resolve(gateway, name, alias, int(number) if number else None)


def _heard(request: AnyRequest) -> Heard:
    scope: Any = request.scope
    heard: Heard = scope[HEARD]
    return heard


def client_of(request: AnyRequest) -> str:
    """Return the address at the other end of a request's connection."""
    client = request.scope.get("client")
    return str(client[0]) if client else ""


def described(gateway: Gateway, link: Link, model: ModelInfo, version: VersionInfo) -> dict[str, Any]:
    """Return what the holder of a link may know: of this version, and nothing of others."""
    signature, url = signature_of(version), gateway.links.url_of(link)
    predict_url = f"{url}/predict"
    opens = f"{url}/open" if link.password else ""
    return {
        "name": model.model,
        "version": version.version,
        "ready": version.state == "READY",
        "created": version.created,
        "description": version.description,
        "note": link.note,
        "verbs": link.verbs,
        "rate": link.rate or None,
        "uses": link.uses or None,
        "used": gateway.links.used(link) if link.uses else None,
        "expires": link.expires or None,
        "url": url,
        "predict_url": predict_url,
        "signature": version.signature,
        "example": example(signature) if signature else None,
        "curl": curl(predict_url, sample(signature), SECRET, opens=opens) if signature else None,
    }
