"""Links from their owner's side: made, waited for, found and revoked over the admin API."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

import rich_click as click

from prism_core.cli.client import AdminClient, admin
from prism_core.cli.options import Common
from prism_core.errors import LinkNotFound, TunnelFailed, TunnelRefused

Shown = dict[str, Any]

OTHERS = "`--tunnel lan` shares in the local network; `prism doctor` says what each tunnel needs."

# A slug has ten characters: `/model/s/predict` is a model called `s`.
_PATH = re.compile(r"(?P<before>.*)/s/(?P<slug>[a-z0-9]{10})(/predict|/metadata)?/?")

# With `auto` the server tries one tunnel after the other before it answers.
MAKING_S = 600.0
# How much longer one that is connecting is waited for, and how often it is looked at meanwhile.
OPENING_S, LOOK_S = 30.0, 0.3


def make(client: AdminClient, model: str, wish: Mapping[str, Any]) -> Shown:
    """Make a link to ``model``; its token is in the answer, and only there.

    Raises
    ------
    TunnelFailed
        If none came up of those that were tried; each with the reason.
    """
    try:
        made: Shown = client.call("POST", "/links", body={"model": model, **wish}, read_s=MAKING_S)
    except TunnelFailed as error:
        reasons = error.details.get("reasons") or {}
        if len(reasons) > 1:
            error.message = "No tunnel came up."
            error.details["errors"] = [f"{name}: {reason}" for name, reason in reasons.items()]
        raise
    return made


def listed(client: AdminClient) -> tuple[list[Shown], list[dict[str, Any]]]:
    """Return all links, and the tunnels that lead to them."""
    found = client.call("GET", "/links")
    return found["links"], found["tunnels"]


def settled(client: AdminClient, made: Shown, sleep: Callable[[float], None] = time.sleep) -> Shown:
    """Return a new link as it is when its tunnel has come up or will not, or after `OPENING_S`.

    Raises
    ------
    TunnelRefused
        If the tunnel is not tried again; there is no link then.
    """
    ends = time.monotonic() + OPENING_S
    while made["state"] == "connecting" and time.monotonic() < ends:
        sleep(LOOK_S)
        links, _ = listed(client)
        made |= next((link for link in links if link["slug"] == made["slug"]), {})
    if made["state"] == "failed":
        revoke(client, made["slug"])
        raise TunnelRefused(f"The tunnel {made['tunnel']} does not come up. {made['reason']}", hint=OTHERS)
    return made


def addresses(made: Shown) -> Shown:
    """Return a new link with its addresses as they are now: the page's with the token in it."""
    page = made["url"].partition("#")[0]
    return made | {"url": f"{page}#{made['token']}" if page else "", "predict_url": made["predict_url"]}


def revoke(client: AdminClient, slug: str) -> Shown:
    """End a link."""
    found: Shown = client.call("DELETE", f"/links/{slug}")
    return found


def meant(links: Iterable[Shown], text: str) -> list[Shown]:
    """Return the links that ``text`` means: one by its slug or address, or all of a model.

    Raises
    ------
    LinkNotFound
        If there is none.
    """
    links = list(links)
    slug = slug_of(text)
    found = [link for link in links if link["slug"] == slug]
    found = found or [link for link in links if text in (link["model"], name_of(link["model"]))]
    if not found:
        raise LinkNotFound(f"There is no link {text!r}, and none to a model of that name.", hint=_hint(links))
    return found


def _hint(links: list[Shown]) -> str:
    if not links:
        return "There are no links at all; `prism share MODEL` makes one."
    there = ", ".join(f"{link['slug']} to {link['model']}" for link in links)
    return f"There are: {there}."


def name_of(reference: str) -> str:
    """Return the model's name in ``churn@champion`` or ``churn/3``."""
    return reference.partition("@")[0].partition("/")[0]


def slug_of(text: str) -> str:
    """Return the slug in a link's address; a slug is itself."""
    return split_address(text)[1] or text


def split_address(text: str) -> tuple[str, str, str]:
    """Return base, slug and token of a link's address, the page's or that for programs; else ""."""
    parts = urlsplit(text)
    found = _PATH.fullmatch(parts.path)
    if not (parts.scheme and found):
        return "", "", ""
    return f"{parts.scheme}://{parts.netloc}{found['before']}", found["slug"], parts.fragment


def complete_links(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return slugs and models of links that begin with ``incomplete``."""
    try:
        with admin(Common.of(ctx)) as client:
            links = listed(client)[0]
    except Exception:  # a shell's Tab key is no place for errors
        return []
    names = [link["slug"] for link in links] + sorted({link["model"] for link in links})
    return [name for name in names if name.startswith(incomplete)]
