"""``prism share``: serve, upload and print the link, in one."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import attrs
import rich_click as click

from prism_core.cli.announce import announce, result
from prism_core.cli.client import running_server
from prism_core.cli.commands.serve import run, serve_options, settings_of
from prism_core.cli.commands.upload import upload_options, uploaded
from prism_core.cli.options import Common, command
from prism_core.cli.output import write_json
from prism_core.cli.report import as_prism_error
from prism_core.errors import PrismError

SERVER_FLAGS = ("host", "port", "admin_port", "config", "plugins", "no_plugins", "log_level")


EXAMPLES = """
prism share churn_model.pkl
prism share digits.onnx --port 0 --option threads=2
"""


@command("share", examples=EXAMPLES)
@upload_options
@serve_options
def share(artifact: str, **options: Any) -> None:
    """Serve one model and print its link, in one step.

    Starts a server and stays until Ctrl-C. Where one already runs for the data directory (or
    --server names one), it uploads to that and returns.
    """
    common = Common.of()
    flags = {name: options.pop(name) for name in SERVER_FLAGS}
    settings = settings_of(common, **flags, isolation=options["isolation"] or None)
    common = attrs.evolve(common, data_dir=settings.data_dir)
    if common.server or running_server(settings.data_dir):
        _tell(*uploaded(common, artifact, options), common, options["example"])
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
            _tell(*uploaded(common, self.artifact, self.options), common, self.options["example"])
            if not self.common.json:
                click.echo("The link works until Ctrl-C.")
        except Exception as error:
            self.error = as_prism_error(error)
            os.kill(os.getpid(), signal.SIGTERM)


def _tell(version: dict[str, Any], public: str, common: Common, example: Path | None) -> None:
    if common.json:
        write_json(result(version))
    else:
        announce(version, example, public)
