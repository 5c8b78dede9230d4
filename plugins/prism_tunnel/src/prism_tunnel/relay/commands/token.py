"""``prism relay token``: who may publish on this relay."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import rich_click as click

from prism_core.plugin import CommandLine, ConfigError, Rate, parse_bytes
from prism_tunnel.relay import clients
from prism_tunnel.relay.clients import Client
from prism_tunnel.relay.control import poke
from prism_tunnel.relay.joining import Join
from prism_tunnel.relay.naming import PATTERN, is_name

_UNITS = {"h": 3600, "d": 86_400, "w": 7 * 86_400}


class Days(click.ParamType[float]):
    """A duration in hours, days or weeks; seconds in Python."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the seconds."""
        found = re.fullmatch(r"(\d+)(h|d|w)", str(value))
        if not found or not int(found[1]):
            self.fail(f"expected a duration such as 12h, 90d or 4w, got {value!r}.", param, ctx)
        return float(int(found[1]) * _UNITS[found[2]])


class Amount(click.ParamType[int]):
    """Bytes in a second, such as ``2MB``."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the bytes."""
        try:
            return int(value) if isinstance(value, int) else parse_bytes(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.group("token")
def token() -> None:
    """Say who may publish on this relay. On the relay's machine, with its data directory."""


@token.command("create")
@click.argument("name")
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="NAME",
    help="Another name that it may publish, or all that begin so: 'ann-*'; may be repeated.",
)
@click.option(
    "--host",
    default="",
    metavar="HOST",
    help="The relay's address for the join string, by default its domain.",
)
@click.option(
    "--public-key",
    "keys",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    metavar="FILE",
    help="A public SSH key that it may log in with as well; may be repeated.",
)
@click.option("--rate", default="", metavar="RATE", help="How often its visitors may ask, such as 50/s.")
@click.option(
    "--max-connections",
    type=click.IntRange(0),
    default=1000,
    show_default=True,
    help="Visitors' connections at a time; 0 for no limit.",
)
@click.option("--max-names", type=click.IntRange(0), default=0, help="Names at a time; 0 for no limit.")
@click.option(
    "--bandwidth",
    type=Amount(),
    default=0,
    metavar="SIZE",
    help="Bytes in a second, both ways together, such as 2MB.",
)
@click.option("--expires", type=Days(), default=None, metavar="DURATION", help="When it ends: 12h, 90d, 4w.")
@click.pass_obj
def create(
    cli: CommandLine,
    name: str,
    names: tuple[str, ...],
    host: str,
    keys: tuple[Path, ...],
    rate: str,
    max_connections: int,
    max_names: int,
    bandwidth: int,
    expires: float | None,
) -> None:
    """Let a laptop in as NAME, and print what it joins with, once.

    It may publish the name NAME, and those of --name. Only a digest of its token is kept: whoever has lost
    the join string is revoked and created again.
    """  # fmt: skip
    from prism_tunnel.relay.serving import Place, read_facts

    place = Place(cli.data_dir / "relay")
    facts = read_facts(place)
    _check_names(name, names)
    _check_rate(rate)
    made = clients.new_token()
    client = Client(
        name, clients.digest_of(made), tuple(_key_line(one) for one in keys), (name, *names), rate, max_names,
        max_connections, bandwidth, time.time(), clients.expiry(expires),
    )  # fmt: skip
    clients.add(place.clients, client)
    poke(place.control)
    join = Join(host or facts["domain"], facts["ssh_port"], name, made, facts["fingerprint"])
    if cli.json:
        cli.write_json({"join": str(join), **_shown(client)})
    else:
        click.echo("On the laptop; it is shown this once:\n", err=True)
        click.echo(f"prism relay join {join}")


@token.command("list")
@click.pass_obj
def list_(cli: CommandLine) -> None:
    """List the clients and what they may."""
    from prism_tunnel.relay.serving import Place

    found = list(clients.Clients(Place(cli.data_dir / "relay").clients))
    if cli.json:
        cli.write_json([_shown(one) for one in found])
    elif not found:
        click.echo("Nobody may publish yet: prism relay token create NAME")
    else:
        cli.write_table(("Client", "Names", "Limits", "Expires"), [_row(one) for one in found])


@token.command("revoke")
@click.argument("name")
@click.pass_obj
def revoke(cli: CommandLine, name: str) -> None:
    """Let a client in no more; connections that it has are ended at once."""
    from prism_tunnel.relay.serving import Place

    place = Place(cli.data_dir / "relay")
    clients.remove(place.clients, name)
    ended = poke(place.control)
    if cli.json:
        cli.write_json({"revoked": name, "ended": ended})
    else:
        click.echo(f"{name} is revoked" + (f", {ended} of its connections ended." if ended else "."))


def _check_names(name: str, names: tuple[str, ...]) -> None:
    for one in (name, *names):
        if not (is_name(one) or (one != name and PATTERN.fullmatch(one))):
            raise ConfigError(
                f"{one!r} is no name.",
                hint="Letters a to z, digits and hyphens, up to 63, as in a host name.",
            )


def _check_rate(rate: str) -> None:
    if rate:
        try:
            Rate.parse(rate)
        except ValueError as error:
            raise ConfigError(f"--rate: {error}", hint="For instance 50/s, or 600/min burst 50.") from None


def _key_line(path: Path) -> str:
    words = path.read_text().split()
    if len(words) < 2 or not words[0].startswith(("ssh-", "ecdsa-", "sk-")):
        raise ConfigError(
            f"{path} holds no public key.", hint="ssh-keygen writes it beside the key, as FILE.pub"
        )
    return " ".join(words[:2])


def _shown(one: Client) -> dict[str, Any]:
    return {
        "client": one.name,
        "names": list(one.names),
        "public_keys": len(one.keys),
        "rate": one.rate,
        "max_names": one.max_names,
        "max_connections": one.max_connections,
        "bytes_s": one.bytes_s,
        "created": one.created,
        "expires": one.expires or None,
        "expired": not one.is_good(time.time()),
    }


def _row(one: Client) -> tuple[str, str, str, str]:
    limits = [one.rate] if one.rate else []
    limits += [f"{one.max_connections} connections"] if one.max_connections else []
    limits += [f"{one.max_names} names"] if one.max_names else []
    limits += [f"{one.bytes_s} bytes/s"] if one.bytes_s else []
    ends = time.strftime("%Y-%m-%d %H:%M", time.localtime(one.expires)) if one.expires else "never"
    return (
        one.name,
        ", ".join(one.names),
        ", ".join(limits),
        ends if one.is_good(time.time()) else f"{ends} (over)",
    )
