"""``prism version``: of PRISM, Python and the plugins, without loading any."""

from __future__ import annotations

import platform
from importlib.metadata import entry_points

import rich_click as click

from prism_core import __version__
from prism_core.cli.options import Common, command
from prism_core.cli.output import write_json


@command("version")
def version() -> None:
    """Print the versions of PRISM, Python and plugins."""
    plugins = {point.name: point.dist.version if point.dist else "" for point in entry_points(group="prism")}
    facts = {
        "prism": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "plugins": plugins,
    }
    if Common.of().json:
        write_json(facts)
        return
    click.echo(f"prism {__version__}")
    click.echo(f"python {facts['python']} on {facts['platform']}")
    for name, number in sorted(plugins.items()):
        click.echo(f"plugin {name} {number}")
