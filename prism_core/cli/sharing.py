"""One ``prism share``: the model is uploaded or found, a link to it made, and both are told."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import rich_click as click

from prism_core.cli.announce import tell_upload
from prism_core.cli.background import LOG
from prism_core.cli.client import AdminClient, admin, data_dir_of, parse_reference
from prism_core.cli.commands.upload import request_of, uploaded
from prism_core.cli.invitation import invite, link_json
from prism_core.cli.links import addresses, make, settled
from prism_core.cli.options import Common
from prism_core.cli.output import warn, write_json
from prism_core.cli.progress import spinning
from prism_core.errors import ArtifactError, ModelLoadFailed, ModelNotFound

# A server that was just started brings its models up; how long that is waited for, and how often looked at.
COMING_S, LOOK_S = 120.0, 0.1


@attrs.frozen
class Sharing:
    """What was asked for.

    Parameters
    ----------
    target
        A file, a directory, a URI, or a reference to a model that is served.
    options
        Of the upload.
    wish
        What the link is to be.
    """

    common: Common
    target: str
    options: Mapping[str, Any]
    wish: Mapping[str, Any]

    @property
    def local(self) -> Sharing:
        """The same, for the server of the data directory."""
        return attrs.evolve(self, common=attrs.evolve(self.common, server="", token=""))

    @property
    def is_file(self) -> bool:
        """Whether the target is to be uploaded; a file goes before a model of the same name."""
        return "://" in self.target or Path(self.target).expanduser().exists()

    def check(self) -> None:
        """Refuse what can be nothing, and what is said of an upload where there is none."""
        if self.is_file:
            return
        try:
            parse_reference(self.target)
        except ModelNotFound as error:
            raise ArtifactError(f"There is no file {self.target!r}.", hint="Check the path.") from error
        # What is said of isolation may be meant for the server that is started.
        if said := request_of(**{**self.options, "isolation": ""}):
            names = ", ".join(sorted(f"--{name.replace('_', '-')}" for name in said))
            raise click.UsageError(f"There is no file {self.target!r}, so nothing is uploaded with {names}.")

    def share(self, detached: Mapping[str, Any] | None = None) -> None:
        """Make the link on a server that stays when this command ends, and tell it.

        ``detached`` is what a server says of itself that was started for it.
        """
        link = self.make()
        if self.common.json:
            return
        ends = f"`{self.typed('unshare ' + link['slug'])}` ends the link"
        if not detached:
            click.echo(f"\n{ends}; `{self.typed('links')}` shows what is used of it.")
            return
        log = data_dir_of(self.common) / LOG
        click.echo(f"\nThe server runs in the background: pid {detached['pid']}, log {log}.")
        click.echo(f"{ends}, `{self.typed('serve --stop')}` the server.")

    def make(self) -> dict[str, Any]:
        """Upload or find the model, make the link, tell both; return the link."""
        version = self._uploaded() if self.is_file else self._found()
        with admin(self.common) as client:
            with spinning("Making the link", quiet=self.common.json):
                made = make(client, version["model"] if self.is_file else self.target, self.wish)
                link = addresses(settled(client, made))
            server = client.server()
        if self.common.json:
            write_json(link_json(link, version))
            return link
        invite(link, version, self.options["example"], self.common)
        if server["auth"] == "none":
            warn_of_open(f"{server['public']}/model/{version['model']}")
        return link

    def _uploaded(self) -> dict[str, Any]:
        version, _ = uploaded(self.common, self.target, dict(self.options))
        if not self.common.json:
            tell_upload(version)
            click.echo()
        return version

    def _found(self) -> dict[str, Any]:
        """Return the version that a link to the target would lead to now."""
        with admin(self.common) as client:
            try:
                return coming(client, *client.resolve(self.target))
            except ModelNotFound as error:
                error.message = f"There is no file {self.target!r}. {error.message}"
                raise

    def typed(self, words: str) -> str:
        """Return ``prism WORDS`` as it is to be typed for this server."""
        if self.common.server:
            return f"prism {words} --server {self.common.server}"
        data_dir = data_dir_of(self.common)
        found_anyway = data_dir == data_dir_of(Common())
        return f"prism {words}" + ("" if found_anyway else f" --data-dir {shlex.quote(str(data_dir))}")


def warn_of_open(address: str) -> None:
    """Say that the link is not the only way in."""
    warn(f"This server has auth: none. Whoever reaches {address} may use the model without the link.")


def coming(client: AdminClient, name: str, number: int) -> dict[str, Any]:
    """Return a version once it answers, or will do so when it is asked.

    Raises
    ------
    ModelLoadFailed
        If it does not.
    """
    ends = time.monotonic() + COMING_S
    while (version := client.version(name, number))["state"] in ("STORED", "STARTING"):
        if time.monotonic() > ends:
            break
        time.sleep(LOOK_S)
    if version["state"] != "READY":
        raise ModelLoadFailed(
            f"Version {number} of {name!r} is {version['state']}. {version['error']}".rstrip(),
            hint=f"`prism start {name}/{number}` starts it.",
        )
    return version
