"""``prism serve``: run a server in the foreground."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import rich_click as click

from prism_core import __version__
from prism_core.cli.client import running_server
from prism_core.cli.options import Common, command
from prism_core.cli.output import warn, write_json
from prism_core.errors import ConfigError

if TYPE_CHECKING:
    from prism_core.plugins import PluginSet
    from prism_core.settings import Settings

# Of the section `tls`, which has a flag for each.
TLS_KEYS = ("mode", "cert", "key", "client_ca")

Function = TypeVar("Function", bound=Callable[..., Any])

# Where `--access-log` alone writes; a relative path in the settings is in the data directory.
ACCESS_LOG = "access.log"


def _access_log(_: click.Context, __: click.Parameter, file: str | None) -> str | None:
    """Return what the setting is: a file that is named here is where whoever types it is."""
    return file if file in (None, ACCESS_LOG) else str(Path(file).absolute())


class GrpcPort(click.ParamType[Any]):
    """A port, ``auto`` or ``off``."""

    name = "port"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return a number, or the word."""
        return value if value in ("auto", "off") else _PORT.convert(value, param, ctx)


_PORT = click.IntRange(0, 65535)
_PATH = click.Path(dir_okay=False)

_OPTIONS = (
    click.option(
        "--host", metavar="ADDR", help="Address of the public listener.  [default: 0.0.0.0, all interfaces]"
    ),
    click.option("--port", metavar="N", type=_PORT, help="Public port, 0 for a free one.  [default: 8000]"),
    click.option(
        "--admin-host",
        metavar="ADDR",
        help="Address of the admin API; others want TLS.  [default: 127.0.0.1]",
    ),
    click.option(
        "--admin-port",
        metavar="N",
        type=_PORT,
        help="Port of the admin API, 0 for a free one.  [default: 8001]",
    ),
    click.option(
        "--grpc-port",
        metavar="N|auto|off",
        type=GrpcPort(),
        help="Port of gRPC, 0 for a free one.  [default: auto, 8081 or a free one]",
    ),
    click.option(
        "--tls",
        "tls_mode",
        type=click.Choice(["off", "self-signed"]),
        help="self-signed: encrypt, with a certificate of a local authority; see `prism trust`.",
    ),
    click.option(
        "--tls-cert", metavar="FILE", type=_PATH, help="Encrypt with this certificate (PEM, with its chain)."
    ),
    click.option("--tls-key", metavar="FILE", type=_PATH, help="The key of that certificate (PEM)."),
    click.option(
        "--tls-client-ca",
        metavar="FILE",
        type=_PATH,
        help="Serve only clients with a certificate of this authority (PEM).",
    ),
    click.option(
        "--gateways",
        metavar="N",
        type=click.IntRange(1),
        help="Processes that speak HTTP on the public port.  [default: 1]",
    ),
    click.option(
        "--auth",
        type=click.Choice(["none", "keys", "oidc"]),
        help="Ask callers for a key of `prism keys`, or for a token.  [default: none]",
    ),
    click.option(
        "--sandbox",
        type=click.Choice(["required", "best", "off"]),
        help="How strictly models are shut in; see `prism doctor`.  [default: best]",
    ),
    click.option(
        "--config",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help="Settings file.  [default: ./prism.yaml, where there is one]",
    ),
    click.option(
        "--plugins", metavar="A,B", help="Load exactly these installed plugins; one that fails is fatal."
    ),
    click.option("--no-plugins", is_flag=True, help="Load no installed plugin."),
    click.option(
        "--log-level",
        type=click.Choice(["debug", "info", "warning", "error"]),
        help="What is logged on stderr.  [default: info]",
    ),
    click.option(
        "--access-log",
        metavar="[FILE]",
        is_flag=False,
        flag_value=ACCESS_LOG,
        callback=_access_log,
        help="Write a line for each public request.  [FILE: access.log in the data directory]",
    ),
)


def serve_options(function: Function) -> Function:
    """Add what `prism serve` and `prism share` both ask about a server."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


EXAMPLES = """
prism serve
prism serve --port 0 --admin-port 0 --data-dir ./data
prism serve --config prism.yaml --plugins sklearn,onnx
PRISM_PORT=9000 prism serve --json
prism serve --stop
"""


@command("serve", examples=EXAMPLES)
@serve_options
@click.option("--isolation", metavar="NAME", help="Where models run; see `prism doctor`.  [default: process]")
@click.option("--stop", "stops", is_flag=True, help="Stop the server that runs for the data directory.")
def serve(stops: bool, **flags: Any) -> None:
    """Run the server until Ctrl-C.

    Two listeners: a public one that predicts and nothing else, and the admin one on this
    machine, with a token. Models, versions and the token lie in the data directory; what was
    served before is served again.

    Settings come from prism.yaml, then PRISM_* variables, then these options.
    """
    common = Common.of()
    if stops:
        stop_server(common)
        return
    settings = settings_of(common, **flags)
    refuse_second(settings.data_dir)
    run(settings, common, write_json if common.json else banner)


def stop_server(common: Common) -> None:
    """Stop the server that runs, and say so."""
    from prism_core.cli.background import stop

    stopped = stop(common)
    if common.json:
        write_json({"stopped": stopped})
    else:
        click.echo(
            f"The server has stopped: pid {stopped['pid']}. What it served comes back with the next start."
        )


def settings_of(
    common: Common,
    *,
    config: Path | None,
    plugins: str | None,
    no_plugins: bool,
    grpc_port: int | str | None = None,
    defaults: Mapping[str, Any] | None = None,
    **flags: Any,
) -> Settings:
    """Return the settings that the options, the environment, the file and then ``defaults`` make."""
    from prism_core.settings_file import load_settings

    if plugins and no_plugins:
        raise click.UsageError("Give --plugins or --no-plugins, not both.")
    given = {key: value for key, value in flags.items() if value is not None}
    tls = {key: given.pop(f"tls_{key}") for key in TLS_KEYS if f"tls_{key}" in given}
    if tls:
        given["tls"] = tls
    if grpc_port is not None:
        given["plugins"] = {"grpc": {"port": grpc_port}}
    isolation = {"backend": given.pop("isolation", None), "sandbox": given.pop("sandbox", None)}
    given["isolation"] = {key: value for key, value in isolation.items() if value}
    if common.data_dir:
        given["data_dir"] = str(common.data_dir)
    if no_plugins:
        given["load"] = []
    elif plugins is not None:
        given["load"] = [name.strip() for name in plugins.split(",") if name.strip()]
    return load_settings(config, os.environ, given, defaults)


def refuse_second(data_dir: Path) -> None:
    """Raise `ConfigError` if a server already runs for ``data_dir``."""
    facts = running_server(data_dir)
    if facts:
        raise ConfigError(
            f"A server already runs for {str(data_dir)!r}: pid {facts['pid']}, {facts['public']}.",
            hint="Upload to it with `prism upload FILE`, or give another directory with --data-dir.",
        )


def run(settings: Settings, common: Common, ready: Callable[[dict[str, Any]], None]) -> None:
    """Load the plugins and serve until a signal comes."""
    from prism_core import logs
    from prism_core.plugins import load_plugins
    from prism_core.rest.serve import run as serve_until_signal

    logs.configure(settings.log_level, json=True if common.json else None)
    plugins = load_plugins(settings.load)
    for error in plugins.failures.values():
        warn(f"{error.message} {error.hint}")
    settings = known_grpc(settings, plugins)
    serve_until_signal(settings, plugins, ready)


def known_grpc(settings: Settings, plugins: PluginSet) -> Settings:
    """Return ``settings`` as they are for ``plugins``, of which perhaps none speaks gRPC.

    Raises
    ------
    ConfigError
        If none does, and a port is named.
    """
    port = settings.plugins.get("grpc", {}).get("port")
    if port is None or "grpc" in plugins.frontends:
        return settings
    if type(port) is int:
        raise ConfigError(
            f"gRPC is to listen on port {port}, and no plugin is loaded that speaks it.",
            hint="pip install 'prism-oip[grpc]'; or leave --grpc-port and plugins.grpc.port away.",
        )
    others = {name: one for name, one in settings.plugins.items() if name != "grpc"}
    return attrs.evolve(settings, plugins=others)


# Who may predict, in each mode of `auth`.
CALLERS = {
    "none": "whoever reaches the public address; start with --auth keys to ask for a key",
    "keys": "who has a key; make one with `prism keys create --model MODEL`",
    "oidc": "who has a token of the identity provider",
}


def banner(facts: dict[str, Any]) -> None:
    """Tell a person where the server is and what to do next."""
    grpc = f"  grpc    {facts['grpc']}   predictions, Open Inference Protocol\n" if "grpc" in facts else ""
    click.echo(
        f"{click.style('PRISM', bold=True)} {__version__} is ready.\n\n"
        f"  public  {click.style(facts['public'], bold=True)}   predictions and model pages\n"
        f"  admin   {facts['admin']}   uploads, with the token in the data directory\n"
        f"{grpc}"
        f"  data    {facts['data_dir']}\n"
        f"  callers {CALLERS[facts['auth']]}\n\n"
        f"  Next    {click.style(upload_line(facts), fg='cyan')}\n"
        "  Ctrl-C stops the server; what it serves comes back with the next start.\n"
    )
    sys.stdout.flush()


def upload_line(facts: dict[str, Any]) -> str:
    """Return the command that uploads to this server."""
    from prism_core.settings_file import default_data_dir

    default = Path(facts["data_dir"]) == default_data_dir().resolve()
    return "prism upload FILE" if default else f"prism upload FILE --data-dir {facts['data_dir']}"
