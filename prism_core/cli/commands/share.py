"""``prism share``: serve, upload and print the link, in one."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

import attrs
import rich_click as click

from prism_core.cli.announce import announce, result
from prism_core.cli.client import AdminClient, admin, running_server
from prism_core.cli.commands.serve import TLS_KEYS, run, serve_options, settings_of
from prism_core.cli.commands.upload import upload_options, uploaded
from prism_core.cli.options import Common, command
from prism_core.cli.output import write_json
from prism_core.cli.report import as_prism_error
from prism_core.errors import ConfigError, PrismError

SERVER_FLAGS = (
    "host",
    "port",
    "admin_host",
    "admin_port",
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
prism share churn_model.pkl --auth keys
prism share digits.onnx --port 0 --option threads=2
"""


@command("share", examples=EXAMPLES)
@upload_options
@serve_options
def share(artifact: str, **options: Any) -> None:
    """Serve one model and print its link, in one step.

    Starts a server and stays until Ctrl-C. Where one already runs for the data directory (or
    --server names one), it uploads to that and returns. With --auth keys a key is made where
    there is none for the model yet, and printed with the link.
    """
    common = Common.of()
    flags = {name: options.pop(name) for name in SERVER_FLAGS}
    settings = settings_of(common, **flags, isolation=options["isolation"] or None)
    common = attrs.evolve(common, data_dir=settings.data_dir)
    if common.server or running_server(settings.data_dir):
        if flags["auth"]:
            check_auth(common, flags["auth"])
        _tell(artifact, options, common)
        return
    sharing = Sharing(common, artifact, options)
    # Beside a link, what the server does as a matter of course is noise, unless it was asked for.
    quiet = settings.log_level == "info" and not flags["log_level"]
    run(attrs.evolve(settings, log_level="warning") if quiet else settings, common, sharing.begin)
    if sharing.error:
        raise sharing.error


@attrs.define
class Sharing:
    """The upload beside the server that was started for it; if it fails, the server ends too."""

    common: Common
    artifact: str
    options: dict[str, Any]
    error: PrismError | None = None

    def begin(self, facts: dict[str, Any]) -> None:
        """Start the upload: the server is ready, and busy with serving."""
        threading.Thread(target=self._upload, name="share", daemon=True).start()

    def _upload(self) -> None:
        try:
            common = attrs.evolve(self.common, server="", token="")
            _tell(self.artifact, self.options, common)
            if not self.common.json:
                click.echo("The link works until Ctrl-C.")
        except Exception as error:
            self.error = as_prism_error(error)
            os.kill(os.getpid(), signal.SIGTERM)


def check_auth(common: Common, wanted: str) -> None:
    """Raise `ConfigError` if the server that runs asks callers for something else."""
    with admin(common) as client:
        found = client.server()["auth"]
    if found != wanted:
        raise ConfigError(
            f"The server that runs has auth: {found}; --auth {wanted} is for one that is started.",
            hint="Stop it, or leave --auth away.",
        )


def _tell(artifact: str, options: dict[str, Any], common: Common) -> None:
    """Upload, make a key where one is asked for and there is none, and print what a caller needs."""
    version, public = uploaded(common, artifact, options)
    with admin(common) as client:
        auth = client.server()["auth"]
        key = first_key(client, version["model"]) if auth == "keys" else ""
    if common.json:
        write_json(result(version) | ({"key": key} if key else {}))
        return
    announce(version, options["example"], public, common, key)
    if key:
        click.echo(f"Key: {click.style(key, bold=True)}\nIt is shown this once; `prism keys` makes more.")
    elif auth == "none":
        click.echo("Whoever has the link may predict; `prism share --auth keys` asks for a key.")


def first_key(client: AdminClient, model: str) -> str:
    """Return a new key for a model, "" where it has one: those who hold that may go on with it."""
    keys = client.call("GET", "/keys")["keys"]
    if any("predict" in key["scopes"] and not key["expired"] and _is_for(key, model) for key in keys):
        return ""
    made: dict[str, str] = client.call("POST", "/keys", body={"name": "share", "models": [model]})
    return made["key"]


def _is_for(key: dict[str, Any], model: str) -> bool:
    return key["models"] is None or model in key["models"]
