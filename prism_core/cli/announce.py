"""What follows an upload: the link, a curl line that works as pasted, a QR code."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import rich_click as click

from prism_core.cli.client import data_dir_of
from prism_core.cli.media import media_type_of
from prism_core.cli.optimized import optimization_lines
from prism_core.cli.options import Common
from prism_core.cli.output import warn
from prism_core.cli.trusting import authority_of, verification
from prism_core.environment import SERVER

# The link may be a tunnel that is not up yet; a curl line is not worth more waiting.
PAGE_S = 3.0

RESULT_KEYS = ("model", "version", "digest", "url", "signature", "warnings", "optimization", "environment")


def result(version: dict[str, Any]) -> dict[str, Any]:
    """Return what ``prism upload --json`` prints."""
    return {key: version.get(key) for key in RESULT_KEYS}


def announce(
    version: dict[str, Any], example: Path | None, public: str, common: Common, key: str = ""
) -> None:
    """Print a new version's link and how to use it, with the ``key`` that was made for it."""
    if version.get("duplicate"):
        click.echo(f"These bytes are already version {version['version']} of {version['model']}.")
    else:
        click.secho("Model deployed successfully.", fg="green", bold=True)
    for warning in version["warnings"]:
        warn(warning)
    for line in optimization_lines(version.get("optimization")):
        click.echo(line)
    if version.get("environment", SERVER) != SERVER:
        name = f"{version['model']}/{version['version']}"
        click.echo(f"It runs with packages of its own: `prism env {name} --explain` shows them.")
    url = version["url"]
    click.echo(f"Public endpoint: {click.style(url, bold=True)}\n")
    line = curl_with(url, example, key) if example else curl_line(url, public, common, key)
    own = authority_of(data_dir_of(common)) if url.startswith("https:") else None
    if line:
        click.echo(f"{line} --cacert {shlex.quote(str(own))}\n" if own else f"{line}\n")
    if own:
        click.echo("`prism trust` tells how other machines come to trust the certificate.")
    if sys.stdout.isatty():
        click.echo(qr_code(page_of(url)))


def page_of(url: str) -> str:
    """Return the model's page, which a phone can open, from its predict URL."""
    return url.removesuffix("/predict")


def curl_with(url: str, example: Path, key: str = "") -> str:
    """Return the curl line that sends the example which was uploaded with the model."""
    header = shlex.quote(f"Content-Type: {media_type_of(example)}")
    keyed = f' -H "Authorization: Bearer {key}"' if key else ""
    return f"curl -X POST {shlex.quote(url)}{keyed} -H {header} --data-binary @{shlex.quote(str(example))}"


def curl_line(url: str, public: str, common: Common, key: str = "") -> str:
    """Return the curl line of the model's own page, "" where no page answers.

    The server makes it, with an example row of the signature; it is asked under the link,
    and where that does not work from here, under the listener's own address. Where a key is
    asked for, there is no page without one.
    """
    import httpx

    headers = {"Accept": "application/json"} | ({"X-API-Key": key} if key else {})
    path = page_of(url).partition("/model/")[2]
    for page in dict.fromkeys((page_of(url), f"{public.rstrip('/')}/model/{path}")):
        try:
            verify = verification(page, common)
            found = httpx.get(page, timeout=PAGE_S, headers=headers, trust_env=False, verify=verify)
            line: str = found.json()["curl"] or ""
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError):
            continue
        return line.replace("$PRISM_KEY", key) if key else line
    return ""


def qr_code(url: str) -> str:
    """Return ``url`` as a QR code made of characters."""
    import io

    import segno

    drawn = io.StringIO()
    segno.make(url, error="m").terminal(drawn, compact=True)
    return drawn.getvalue()
