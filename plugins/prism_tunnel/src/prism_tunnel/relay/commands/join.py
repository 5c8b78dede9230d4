"""``prism relay join``: the laptop is told of a relay, once."""

from __future__ import annotations

import asyncio
import sys

import rich_click as click

from prism_core.plugin import CommandLine
from prism_tunnel.relay.clients import write_private
from prism_tunnel.relay.joining import Join, join_file


@click.command("join")
@click.argument("string", metavar="STRING")
@click.pass_obj
def join(cli: CommandLine, string: str) -> None:
    """Take the STRING that `prism relay token create` printed, try it, and keep it in the data directory.

    With "-" it is read from standard input, so that no history of commands holds it. It is a secret:
    the file may be read by you alone.
    """
    found = Join.parse(sys.stdin.readline() if string == "-" else string)
    asyncio.run(_try(found))
    path = join_file(cli.data_dir)
    write_private(path, f"{found}\n".encode())
    if cli.json:
        cli.write_json({"host": found.host, "port": found.port, "client": found.client, "file": str(path)})
    else:
        click.echo(f"Joined {found.host} as {found.client}. Next: prism share MODEL --tunnel relay")


async def _try(found: Join) -> None:
    """Log in and leave again; raises why it cannot."""
    from prism_tunnel.relay.linker import server_of
    from prism_tunnel.ssh.connecting import connected

    async with connected(server_of(found)):
        pass
