"""``prism share`` beside a server in this process, until Ctrl-C; or beside one that it has started."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import attrs
import rich_click as click

from prism_core.cli.background import stop
from prism_core.cli.client import admin
from prism_core.cli.links import revoke
from prism_core.cli.output import warn
from prism_core.cli.report import as_prism_error
from prism_core.cli.sharing import Sharing
from prism_core.errors import PrismError


@contextmanager
def stopping_on_failure(sharing: Sharing) -> Iterator[None]:
    """Stop the server that was started for a link if there is to be none."""
    try:
        yield
    except BaseException:
        with suppress(PrismError):
            stop(sharing.common)
        raise


@attrs.define
class Foreground:
    """The sharing beside the server in this process; if it fails, the server ends too.

    Ctrl-C is a decision, so it revokes the link before the server stops. SIGTERM, a closed
    terminal or a crash are not: the link works again with the next start.
    """

    sharing: Sharing
    error: PrismError | None = None
    slug: str = ""
    ending: bool = False

    def begin(self, facts: dict[str, Any]) -> None:
        """Start the upload: the server is ready, and busy with serving."""
        with suppress(NotImplementedError):  # Windows: the link stays
            asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self.interrupt)
        threading.Thread(target=self._share, name="share", daemon=True).start()

    def _share(self) -> None:
        try:
            self.slug = self.sharing.make()["slug"]
            if not self.sharing.common.json:
                click.echo("\nCtrl-C stops the server and revokes the link; with --detach both stay.")
        except Exception as error:
            if not self.ending:
                self.error = as_prism_error(error)
                end()

    def interrupt(self) -> None:
        """Take a Ctrl-C; the second one does not wait for what is in flight."""
        if self.ending or not self.slug:
            self.ending = True
            end()
            return
        self.ending = True
        threading.Thread(target=self._revoke, name="unshare", daemon=True).start()

    def _revoke(self) -> None:
        try:
            with admin(self.sharing.common) as client:
                revoke(client, self.slug)
            click.echo(f"\nThe link {self.slug} is revoked.", err=True)
        except Exception as error:
            reason = as_prism_error(error).message
            warn(f"The link {self.slug} could not be revoked, and works when the server does again: {reason}")
        finally:
            end()


def end() -> None:
    """Stop the server in this process."""
    os.kill(os.getpid(), signal.SIGTERM)
