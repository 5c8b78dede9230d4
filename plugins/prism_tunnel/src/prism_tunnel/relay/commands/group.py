"""The group ``prism relay``."""

from __future__ import annotations

import rich_click as click

from prism_tunnel.relay.commands.join import join
from prism_tunnel.relay.commands.serve import serve
from prism_tunnel.relay.commands.token import token


@click.group("relay", context_settings={"help_option_names": ["-h", "--help"]})
def relay() -> None:
    """Run a relay of your own on a machine with a public address, or join one from your laptop.

    There: `prism relay serve --domain links.example.org`, and `prism relay token create ann`.
    On the laptop: `prism relay join STRING`, then `prism share churn --tunnel relay`.
    """


for one in (serve, token, join):
    relay.add_command(one)
