"""``prism share``: from a file, or a model that is served, to a link for somebody else."""

from __future__ import annotations

from typing import Any

import attrs
import rich_click as click

from prism_core.cli.background import arguments, start
from prism_core.cli.client import admin, running_server
from prism_core.cli.commands.serve import TLS_KEYS, run, serve_options, settings_of
from prism_core.cli.commands.upload import upload_options
from prism_core.cli.foreground import Foreground, stopping_on_failure
from prism_core.cli.models import complete_models_or_files
from prism_core.cli.options import Common, arrange, command
from prism_core.cli.sharing import Sharing
from prism_core.cli.wishes import NAMES, link_options, wish_of
from prism_core.errors import ConfigError

SERVER_FLAGS = (
    "host",
    "port",
    "admin_host",
    "admin_port",
    "grpc_port",
    "gateways",
    "auth",
    "sandbox",
    "config",
    "plugins",
    "no_plugins",
    "log_level",
    "access_log",
    *(f"tls_{key}" for key in TLS_KEYS),
)


EXAMPLES = """
prism share churn_model.pkl
prism share churn --expires 2h --uses 500 --rate 5/s
prism share churn@champion --password --tunnel auto
prism share digits.onnx --detach
"""


@command("share", examples=EXAMPLES)
@link_options
@click.option("--detach", is_flag=True, help="Return at once; a server that is started for it stays.")
@upload_options("FILE|DIR|URI|MODEL", complete_models_or_files)
@serve_options
def share(artifact: str, detach: bool, **options: Any) -> None:
    """Make a link to a model, for somebody who is to use it.

    MODEL is one that is served: churn, churn/3 or churn@champion; a FILE is uploaded first.
    Whoever has the link may use the model, until it ends or is revoked; nobody else learns
    even its name.

    Where no server runs for the data directory, one is started, which asks callers for keys
    (--auth keys), so that the link is the way in. It stays until Ctrl-C, which revokes the
    link too; with --detach both stay.
    """
    common = Common.of()
    said = {name: options.pop(name) for name in NAMES}
    flags = {name: options.pop(name) for name in SERVER_FLAGS}
    isolation = options["isolation"] or None
    settings = settings_of(common, defaults={"auth": "keys"}, **flags, isolation=isolation)
    common = attrs.evolve(common, data_dir=settings.data_dir)
    Sharing(common, artifact, options, {}).check()
    sharing = Sharing(common, artifact, options, wish_of(**said))
    if common.server or running_server(settings.data_dir):
        if flags["auth"]:
            check_auth(common, flags["auth"])
        sharing.share()
    elif detach:
        told = flags | {"auth": settings.auth, "isolation": isolation}
        facts = start(settings.data_dir, arguments(told))
        with stopping_on_failure(sharing.local):
            sharing.local.share(facts)
    else:
        serve_beside(sharing, settings, asked=bool(flags["log_level"]))


arrange(
    share,
    {
        "The link": (*NAMES, "detach"),
        "The model, where a file is uploaded": (),
        "The server, where one is started": SERVER_FLAGS,
    },
)


def serve_beside(sharing: Sharing, settings: Any, *, asked: bool) -> None:
    """Share from a server in this process, until Ctrl-C."""
    foreground = Foreground(sharing.local)
    # Beside a link, what the server does as a matter of course is noise, unless it was asked for.
    if settings.log_level == "info" and not asked:
        settings = attrs.evolve(settings, log_level="warning")
    run(settings, sharing.common, foreground.begin)
    if foreground.error:
        raise foreground.error


def check_auth(common: Common, wanted: str) -> None:
    """Raise `ConfigError` if the server that runs asks callers for something else."""
    with admin(common) as client:
        found = client.server()["auth"]
    if found != wanted:
        raise ConfigError(
            f"The server that runs has auth: {found}; --auth {wanted} is for one that is started.",
            hint="Stop it, or leave --auth away.",
        )
