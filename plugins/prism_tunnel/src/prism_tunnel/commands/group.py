"""The group ``prism tunnel``."""

from __future__ import annotations

import rich_click as click

from prism_tunnel.commands.listing import list_
from prism_tunnel.commands.trial import test
from prism_tunnel.commands.trusting import trust


@click.group("tunnel", context_settings={"help_option_names": ["-h", "--help"]})
def tunnel() -> None:
    """Look after the ways by which links leave this machine.

    A link goes by one of them with `prism share --tunnel NAME`; `auto` takes the first that works.
    """


for one in (list_, test, trust):
    tunnel.add_command(one)
