"""``prism relay serve``: the relay itself, until a signal comes."""

from __future__ import annotations

import asyncio
import ipaddress
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rich_click as click

from prism_core.plugin import CommandLine, ConfigError
from prism_tunnel.relay.hall import RelaySettings
from prism_tunnel.relay.heads import Network

PORT = click.IntRange(0, 65535)


class Networks(click.ParamType[Network]):
    """An address, or a network such as ``10.0.0.0/8``."""

    name = "network"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Network:
        """Return the network."""
        try:
            return ipaddress.ip_network(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command("serve")
@click.option(
    "--domain", required=True, metavar="NAME", help="Names are put before it: NAME.links.example.org."
)
@click.option("--host", default="", metavar="ADDRESS", help="The address to listen on, by default all.")
@click.option("--http-host", default="", metavar="ADDRESS", help="The same for visitors alone.")
@click.option("--ssh-port", type=PORT, default=2222, show_default=True, help="Where laptops connect to.")
@click.option(
    "--http-port",
    type=PORT,
    default=80,
    show_default=True,
    help="Where visitors come in; with TLS they are sent to https.",
)
@click.option(
    "--https-port", type=PORT, default=443, show_default=True, help="Where visitors come in with TLS."
)
@click.option("--no-http", is_flag=True, help="Listen with TLS alone.")
@click.option(
    "--cert",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The certificate with its chain, of *.DOMAIN (PEM).",
)
@click.option(
    "--key", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Its private key (PEM)."
)
@click.option(
    "--public",
    default="",
    metavar="URL",
    help="How visitors write the domain, where a proxy stands before the relay: https://links.example.org",
)
@click.option(
    "--paths",
    is_flag=True,
    help="DOMAIN/NAME instead of NAME.DOMAIN, for clients that trust each other: they share an origin.",
)
@click.option(
    "--trust-proxy",
    "proxies",
    type=Networks(),
    multiple=True,
    metavar="NETWORK",
    help="Believe X-Forwarded-For of proxies there; may be repeated.",
)
@click.option(
    "--metrics-port", type=PORT, default=None, help="Serve Prometheus' metrics on 127.0.0.1, at /metrics."
)
@click.option(
    "--drain",
    "drain_s",
    type=click.FloatRange(0),
    default=20.0,
    show_default=True,
    metavar="SECONDS",
    help="At the end, how long answers may still take.",
)
@click.pass_obj
def serve(cli: CommandLine, /, no_http: bool, cert: Path | None, key: Path | None, **said: Any) -> None:
    """Run a relay: laptops publish names over SSH, visitors reach them over HTTP.

    Its host key and its clients lie in `relay/` of the data directory. `prism relay token create` lets
    a laptop in. Without --cert it speaks HTTP only: for a proxy before it, or a network of your own.
    """
    if (key and not cert) or (no_http and not cert):
        raise click.UsageError("Name a certificate with --cert.")
    if no_http:
        said["http_port"] = None
    if not cert:
        said["https_port"] = None
    settings = RelaySettings(cert=cert, key=key, **said)
    cli.start_log()
    _checked(settings)
    _run(settings, cli)


def _checked(settings: RelaySettings) -> None:
    if settings.domain != settings.domain.lower() or "/" in settings.domain or ":" in settings.domain:
        raise ConfigError(
            f"{settings.domain!r} is no domain.",
            hint="Lower case, without a port: --domain links.example.org",
        )
    if settings.public and not settings.public.startswith(("http://", "https://")):
        raise ConfigError(f"{settings.public!r} is no URL.", hint="--public https://links.example.org")


def _run(settings: RelaySettings, cli: CommandLine) -> None:
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(settings, cli))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _serve(settings: RelaySettings, cli: CommandLine) -> None:
    from prism_tunnel.relay.serving import Place, open_relay

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with open_relay(settings, Place(cli.data_dir / "relay")) as relay:
        facts = {
            "url": relay.hall.base,
            "ssh_port": relay.ssh_port,
            "http_port": relay.http_port,
            "https_port": relay.https_port,
            "metrics_port": relay.metrics_port,
            "fingerprint": relay.fingerprint,
        }
        if cli.json:
            cli.write_json(facts)
        else:
            _announce(facts)
        await stop.wait()


def _announce(facts: dict[str, Any]) -> None:
    click.echo(f"Relay for names under {facts['url']}, laptops on port {facts['ssh_port']}")
    click.echo(f"Host key {facts['fingerprint']}")
    click.echo("Let a laptop in: prism relay token create NAME")
