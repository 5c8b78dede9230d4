"""``prism unshare``: revoke links."""

from __future__ import annotations

from typing import Any

import rich_click as click

from prism_core.cli.client import admin
from prism_core.cli.invitation import LAN
from prism_core.cli.links import complete_links, listed, meant, revoke
from prism_core.cli.options import Common, command
from prism_core.cli.output import write_json

EXAMPLES = """
prism unshare k3m9x2p7qa     # one link, as `prism links` shows it
prism unshare churn          # all links to a model
prism unshare --all
"""


@command("unshare", examples=EXAMPLES)
@click.argument("link", metavar="SLUG|MODEL", required=False, shell_complete=complete_links)
@click.option("--all", "all_links", is_flag=True, help="Revoke every link.")
def unshare(link: str | None, all_links: bool) -> None:
    """Revoke a link, or all of a model: from now on it opens nothing.

    A tunnel to which no link leads any more is closed. The model stays.
    """
    if bool(link) == all_links:
        raise click.UsageError("Give a SLUG or a MODEL, or --all.")
    with admin() as client:
        before, _ = listed(client)
        gone = before if all_links else meant(before, link or "")
        for one in gone:
            revoke(client, one["slug"])
    if Common.of().json:
        write_json({"revoked": gone})
        return
    for line in told(gone, before):
        click.echo(line)


def told(gone: list[dict[str, Any]], before: list[dict[str, Any]]) -> list[str]:
    """Return a line for each link that is revoked, and for each tunnel that lost its last one."""
    slugs = {link["slug"] for link in gone}
    left = {link["tunnel"] for link in before if link["slug"] not in slugs}
    lines = [f"The link {link['slug']} to {link['model']} is revoked." for link in gone]
    closed = sorted({link["tunnel"] for link in gone} - left - {LAN})
    lines += [f"The tunnel {name} is closed: no link leads through it." for name in closed]
    return lines or ["There are no links."]
