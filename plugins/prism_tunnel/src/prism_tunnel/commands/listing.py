"""``prism tunnel list``."""

from __future__ import annotations

import rich_click as click

from prism_core.plugin import CommandLine
from prism_tunnel.commands.providers import Way, ways


@click.command("list")
@click.pass_obj
def list_(cli: CommandLine) -> None:
    """List the tunnels, in the order in which `--tunnel auto` tries them.

    For each: whether it can be used, and with what settings, or what is missing. Nothing is opened.
    """
    found = ways(cli)
    if cli.json:
        cli.write_json([_facts(one) for one in found])
    else:
        cli.write_table(("TUNNEL", "STATE", ""), [_row(one) for one in found])


def _row(way: Way) -> tuple[str, str, str]:
    said = " ".join(f"{key}={_text(value)}" for key, value in way.settings().items())
    return way.provider.name, "missing" if way.reason else "ready", way.reason or said


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _facts(way: Way) -> dict[str, object]:
    return {
        "tunnel": way.provider.name,
        "rank": way.provider.rank,
        "ready": not way.reason,
        "reason": way.reason,
        "settings": way.settings(),
    }
