"""``prism tunnel trust``: the first look at a server's host key is a person's."""

from __future__ import annotations

import asyncio

import attrs
import rich_click as click

from prism_core.plugin import CommandLine, TunnelRefused
from prism_tunnel.config import SshConfig
from prism_tunnel.ssh.hosts import HostKey, KnownHosts
from prism_tunnel.ssh.places import parse_place


@click.command("trust")
@click.argument("place", metavar="HOST[:PORT]")
@click.option(
    "--fingerprint", metavar="SHA256:...", help="Trust this key and no other, without asking: for scripts."
)
@click.pass_obj
def trust(cli: CommandLine, place: str, fingerprint: str | None) -> None:
    """Trust the host key that an SSH server shows now.

    Compare its fingerprint with the one that the server's owner tells, on another way than this
    one: `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` shows it there.
    """
    try:
        host, port = parse_place(place)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="HOST[:PORT]") from error
    config = cli.config("ssh", SshConfig)
    hosts = KnownHosts.of(config.data_dir, config.known_hosts)
    key = asyncio.run(_shown(config, host, port))
    known = hosts.fingerprints(host, port)
    stored = key.fingerprint not in known and _agreed(cli, key, known, fingerprint)
    if stored:
        hosts.remember(key)
    _report(cli, key, known, stored)


async def _shown(config: SshConfig, host: str, port: int) -> HostKey:
    from prism_tunnel.ssh.connecting import host_key
    from prism_tunnel.ssh.linker import server_of

    # What is behind others is reached through them, where it is the server that the settings name.
    jump = config.jump if host == config.host else ()
    return await host_key(server_of(attrs.evolve(config, host=host, port=port, jump=jump, config_file="")))


def _agreed(cli: CommandLine, key: HostKey, known: list[str], fingerprint: str | None) -> bool:
    if fingerprint:
        if fingerprint != key.fingerprint:
            raise TunnelRefused(
                f"{key.place} shows {key.fingerprint} ({key.algorithm}), not {fingerprint}.",
                hint="Nothing was stored. Ask the server's owner.",
            )
        return True
    if cli.json:
        return False
    click.echo(f"{key.place} shows the host key\n\n  {key.fingerprint} ({key.algorithm})\n")
    if known:
        click.secho(f"IT HAS CHANGED: known is {', '.join(known)}.", fg="red", bold=True)
        click.echo("Somebody may be listening in between, or the server was set up anew.\n")
    return click.confirm("Does the server's owner tell the same, and is it to be trusted?", err=True)


def _report(cli: CommandLine, key: HostKey, known: list[str], stored: bool) -> None:
    if cli.json:
        facts = attrs.asdict(key, filter=attrs.filters.exclude("public"))
        cli.write_json({**facts, "known": known, "stored": stored})
    elif stored:
        click.echo(f"The host key of {key.place} is trusted from now on.")
    elif key.fingerprint in known:
        click.echo(f"The host key of {key.place} is known: {key.fingerprint} ({key.algorithm}).")
    else:
        click.echo("Nothing was stored.")
