"""Every route that a server has, and many ways to ask for one that is not meant for strangers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import attrs

from tests.network.peers import Laptop

METHODS = ("get", "put", "post", "delete", "patch", "head", "options")
# What a parameter of a path is, so that the route would be found if it were there.
FILLED = {"model": "m", "version": "1", "alias": "latest", "slug": "nobody"}
LINKS = ("/s/", "/.well-known/prism/")


@attrs.frozen
class Route:
    """A method and a path."""

    method: str
    path: str


def all_routes(laptop: Laptop) -> list[Route]:
    """Return what both listeners say of themselves, and what no document tells; none of those of links."""
    documents = (laptop.admin("GET", "/openapi.json"), laptop.public("/openapi.json"))
    found = {route for document in documents for route in told(document)}
    found |= {Route("GET", "/metrics"), Route("GET", "/"), Route("GET", "/admin"), Route("GET", "/docs")}
    return sorted((route for route in found if not route.path.startswith(LINKS)), key=attrs.astuple)


def told(document: Any) -> Iterator[Route]:
    """Return the routes of an OpenAPI document, their parameters filled."""
    for path, item in document["paths"].items():
        filled = re.sub(r"{(\w+)}", lambda found: FILLED.get(found[1], "1"), path)
        for method in METHODS:
            if method in item:
                yield Route(method.upper(), filled)


@attrs.frozen
class Spelling:
    """A way to write a request: its target, and headers beside its own."""

    name: str
    target: str
    headers: dict[str, str] = attrs.field(factory=dict)


def spellings(path: str, slug: str, admin: str) -> Iterator[Spelling]:
    """Write a path in ways that have led past walls elsewhere. ``admin`` is the admin listener's own URL."""
    host = urlsplit(admin).netloc
    below, last = path.removeprefix("/"), path[-1:]
    targets = {
        "a slash more": f"/{path}",
        "a slash at its end": f"{path}/",
        "a dot": f"/./{below}",
        "a dot, encoded": f"/%2e/{below}",
        "up from a link": f"/s/{slug}/../..{path}",
        "up from a link, encoded": f"/s/{slug}/%2e%2e/%2e%2e{path}",
        "up from a link, slashes encoded": f"/s/{slug}/..%2f..%2f{below.replace('/', '%2f')}",
        "slashes encoded": f"/{below.replace('/', '%2f')}",
        "slashes encoded twice": f"/{below.replace('/', '%252f')}",
        "backslashes": path.replace("/", "\\"),
        "below a link": f"/s/{slug}{path}",
        "a letter encoded": f"{path[:-1]}%{ord(last):02x}",
        "large letters": path.upper(),
        "a parameter": f"{path};x=1",
        "a zero byte": f"{path}%00",
        "an absolute target": f"{admin}{path}",
        "an absolute target of its own": f"http://localhost{path}",
        "a fragment": f"{path}#/s/{slug}",
    }
    yield from (Spelling(name, target) for name, target in targets.items())
    for name, headers in {
        "the admin listener's host": {"Host": host},
        "a local host": {"Host": "localhost"},
        "the headers of proxies": {
            "X-Original-URL": path, "X-Rewrite-URL": path, "X-Forwarded-Host": host,
            "X-Forwarded-Prefix": "/", "X-Forwarded-For": "127.0.0.1",
            "Forwarded": f"for=127.0.0.1;host={host}",
        },
        "a websocket": {
            "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        },
        "HTTP/2 over clear text": {
            "Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c",
            "HTTP2-Settings": "AAMAAABkAAQAoAAAAAIAAAAA",
        },
        "another method": {"X-HTTP-Method-Override": "GET", "X-Method-Override": "DELETE"},
    }.items():  # fmt: skip
        yield Spelling(name, path, headers)
