"""What follows an upload: the model's address, a curl line that works as pasted, what comes next."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import rich_click as click

from prism_core.cli.optimized import optimization_lines
from prism_core.cli.options import Common
from prism_core.cli.output import warn
from prism_core.cli.samples import own_authority, sample_of
from prism_core.environment import SERVER

# What callers need, by what the server asks for.
ASKED = {
    "keys": "It takes a key: `prism keys create` makes one.",
    "oidc": "It takes a token of the identity provider.",
}
RESULT_KEYS = ("model", "version", "digest", "url", "signature", "warnings", "optimization", "environment")


def result(version: dict[str, Any]) -> dict[str, Any]:
    """Return what ``prism upload --json`` prints."""
    return {key: version.get(key) for key in RESULT_KEYS}


def tell_upload(version: dict[str, Any]) -> None:
    """Say what became of an upload."""
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


def announce(version: dict[str, Any], example: Path | None, common: Common, auth: str) -> None:
    """Print a new version's address and how to use it; ``auth`` is what the server asks callers for."""
    tell_upload(version)
    url = version["url"]
    click.echo(f"Public endpoint: {click.style(url, bold=True)}\n")
    own = own_authority(url, common)
    if line := curl_line(version, example, own, keyed=auth != "none"):
        click.echo(f"{line}\n")
    if auth in ASKED:
        click.echo(ASKED[auth])
    if own:
        click.echo("`prism trust` tells how other machines come to trust the certificate.")
    if version.get("routed") and not _answers(version):
        click.secho(f"The route of {version['model']} gives it no traffic yet.", fg="yellow")
        click.echo(
            f"`prism route {version['model']}` shows the route; the next step may be: {_next(version)}"
        )
    click.echo(f"`prism share {version['model']}` makes a link for somebody else.")


def _answers(version: dict[str, Any]) -> bool:
    """Tell whether a route lets a version answer, other than where another one fails."""
    idle = ("shadow", "fallback", "split 0 %")
    return any(not got.startswith(idle) for got in version.get("traffic", ()))


def _next(version: dict[str, Any]) -> str:
    """Return the command that lets a new version see traffic without answering any."""
    return f"prism route {version['model']} --shadow {version['version']}=10"


def curl_line(version: dict[str, Any], example: Path | None, own: str, *, keyed: bool) -> str:
    """Return the curl line that sends the example, of the upload or of the signature; "" without either."""
    from prism_core.rest.describe import KEY
    from prism_core.rest.snippets import curl

    found = sample_of(version, example)
    return curl(version["url"], found, KEY if keyed else "", own) if found else ""
