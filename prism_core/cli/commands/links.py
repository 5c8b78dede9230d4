"""``prism links``: what was shared, how it is reached, what was used of it."""

from __future__ import annotations

import time
from typing import Any

import rich_click as click

from prism_core.cli.client import admin
from prism_core.cli.durations import until
from prism_core.cli.links import listed
from prism_core.cli.options import Common, command
from prism_core.cli.output import ago, escaped, warn, write_json, write_table
from prism_core.cli.tunnels import state_text, troubles

COLUMNS = ("LINK", "MODEL", "ADDRESS", "TUNNEL", "USES", "RATE", "EXPIRES", "USED")


EXAMPLES = """
prism links
prism links --json
"""


@command("links", examples=EXAMPLES)
def links() -> None:
    """List the links that were made by `prism share`, without their tokens.

    A token is shown once, when the link is made; who has lost it needs another link.
    """
    with admin() as client:
        found, tunnels = listed(client)
    if Common.of().json:
        write_json({"links": found, "tunnels": tunnels})
        return
    if not found:
        click.echo("There are no links. Make one: prism share MODEL")
    else:
        write_table(COLUMNS, [_row(link) for link in found])
    wanted = {link["tunnel"] for link in found}
    for line in troubles(tunnel for tunnel in tunnels if tunnel["name"] in wanted):
        warn(line)


def _row(link: dict[str, Any]) -> tuple[str, ...]:
    expires = until(link["expires"] or None, time.time())
    return (
        f"[bold]{link['slug']}[/]",
        escaped(link["model"]),
        escaped((link["url"] if link["page"] else link["predict_url"]) or "-"),
        f"{escaped(link['tunnel'])} {state_text(link['state'])}",
        f"{link['used']} of {link['uses']}" if link["uses"] else str(link["used"]),
        link["rate"] or "-",
        f"[red]{expires}[/]" if link["expired"] else expires,
        ago(link["last_used"]) if link["last_used"] else "never",
    )
