"""What is said of a new link: what it lets people do, how it is used, a QR code, how it is ended."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import rich_click as click

from prism_core.cli.durations import until
from prism_core.cli.options import Common
from prism_core.cli.output import warn
from prism_core.cli.qr import qr_code
from prism_core.cli.samples import own_authority, sample_of
from prism_core.rest.snippets import PASSWORD

# The provider that leads to the listener itself, without a tunnel; and where that is no other machine's.
LAN, LOOPBACK = "lan", ("127.0.0.1", "::1", "localhost")
# What programs may count on; then what is good to know.
KEYS = ("url", "predict_url", "token", "slug", "expires")
FACTS = ("model", "tunnel", "state", "reason", "uses", "rate", "verbs", "password")
RIGHTS = {
    ("metadata", "predict"): "predict, and see what the model takes",
    ("predict",): "predict",
    ("metadata",): "see what the model takes, not predict",
}


def link_json(link: dict[str, Any], version: dict[str, Any]) -> dict[str, Any]:
    """Return what ``prism share --json`` prints."""
    about = {name: version.get(name) for name in ("version", "digest", "signature", "warnings")}
    return {name: link[name] for name in (*KEYS, *FACTS)} | about


def invite(link: dict[str, Any], version: dict[str, Any], example: Path | None, common: Common) -> None:
    """Print what whoever made a link needs, and what those need that it is sent to."""
    if link["predict_url"]:
        for comment, text in snippets_of(link, version, example, common):
            click.echo(f"{click.style(comment, dim=True)}\n{text}\n")
    if link["page"] and link["url"] and sys.stdout.isatty():
        click.echo(qr_code(link["url"]))
    click.secho(f"{link['model']} is shared.", fg="green", bold=True)
    click.echo(f"\n  {click.style(address_of(link), bold=True)}\n")
    for name, text in facts_of(link, version):
        click.echo(f"  {name:<9} {text}")
    for text in warnings_of(link):
        warn(text)


def address_of(link: dict[str, Any]) -> str:
    """Return what is sent to whoever is to use a link."""
    address: str = link["url"] if link["page"] else link["predict_url"]
    return address or "It has no address yet; `prism links` tells it when it has one."


def facts_of(link: dict[str, Any], version: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what a link is, in words."""
    now = time.time()
    if not (link["page"] and link["url"]):
        yield "token", link["token"]
    yield "model", f"{link['model']}, now version {version['version']}"
    yield "lets", f"whoever has it {RIGHTS[tuple(sorted(link['verbs']))]}"
    yield "ends", _ends(link, now)
    if link["rate"]:
        yield "rate", f"{link['rate']}, by all who have it together"
    if link["password"]:
        yield "password", "is asked for too; send it on another way than the link"
    if link["origins"]:
        yield "origins", f"pages of {', '.join(link['origins'])} may use it"
    yield "through", _through(link)
    if link["tunnel"] == LAN and link["url"].startswith("https:"):
        yield "trust", "the certificate is your own: `prism trust` tells how others come to trust it"


def _through(link: dict[str, Any]) -> str:
    """Return how far a link reaches."""
    if link["tunnel"] != LAN:
        return f"{link['tunnel']}, {link['state']}"
    host = urlsplit(link["url"]).hostname or ""
    near = "this machine only" if host in LOOPBACK else "your own network; --tunnel auto leads beyond it"
    return f"{LAN}, {link['state']}: {near}"


def _ends(link: dict[str, Any], now: float) -> str:
    after = f"after {link['uses']} predictions" if link["uses"] else ""
    when = until(link["expires"], now) if link["expires"] else ""
    return ", or ".join(part for part in (when, after) if part) or "when it is revoked"


def warnings_of(link: dict[str, Any]) -> Iterator[str]:
    """Yield what keeps a link from working now."""
    if link["state"] != "up":
        reason = link["reason"] or "It does not say why."
        yield f"The link does not work yet: {reason} `prism links` shows when {link['tunnel']} is up."


def snippets_of(
    link: dict[str, Any], version: dict[str, Any], example: Path | None, common: Common
) -> Iterator[tuple[str, str]]:
    """Yield one request in curl, Python and JavaScript, each with a comment that may be pasted along."""
    from prism_core.rest.snippets import curl, javascript, python

    sample = sample_of(version, example)
    if sample is None or "predict" not in link["verbs"]:
        return
    url, token = link["predict_url"], link["token"]
    opens = f"{url.removesuffix('/predict')}/open" if link["password"] else ""
    first = f", with the password in {PASSWORD}" if opens else ""
    own = own_authority(url, common) if link["tunnel"] == LAN else ""
    yield f"# curl{first}", curl(url, sample, token, own, opens=opens)
    yield f"# Python{first}", python(url, sample, token, opens=opens)
    yield f"// JavaScript{first}", javascript(url, sample, token, opens=opens)
