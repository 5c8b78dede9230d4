"""What is known of a program that leads in from elsewhere: the columns of its row in the table."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from typing import Any

import attrs

VERSION_S = 5.0


@attrs.frozen
class Launch:
    """How a program is started, for one listener. No secret stands in ``argv``, which every user sees.

    Parameters
    ----------
    argv
        What follows the program's name; ``{directory}`` is where ``files`` are.
    environ
        Variables beside those that this server has.
    files
        Files that only this user may read, in a directory that ends with the program.
    url
        The address, where it is known before; "" where the program tells it.
    secrets
        What must not be shown of what it prints.
    """

    argv: tuple[str, ...]
    environ: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    files: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    url: str = ""
    secrets: tuple[str, ...] = attrs.field(default=(), repr=False)


@attrs.frozen
class Signs:
    """What is read from a program's output, which is both of its streams.

    Parameters
    ----------
    ready
        It leads to the listener now.
    url
        The address, as the group "url"; without a scheme https is meant.
    refused
        Another try fails as well until somebody does something; the whole line is told.
    api
        Where its own HTTP interface is, as the group "api", ``HOST:PORT``.
    healthy
        What is asked there; 200 is good if what comes has the address in it, where ``shows_url`` says so.
    """

    ready: re.Pattern[str]
    url: re.Pattern[str] | None = None
    refused: re.Pattern[str] | None = None
    api: re.Pattern[str] | None = None
    healthy: str = ""
    shows_url: bool = False


@attrs.frozen
class Program:
    """A program.

    Parameters
    ----------
    name, rank, config, forwards
        As of a link provider.
    commands
        What it is called, the first that is on the PATH.
    plan
        ``plan(config, host, port)`` says how it is started for a listener.
    signs
        What is read from its output.
    version
        What prints its version, and where that stands in it: the group "version".
    get
        Where it is got.
    needs
        What has to be done once, before it can be used.
    docs
        Where all this is written.
    """

    name: str
    rank: int
    commands: tuple[str, ...]
    config: type
    plan: Callable[[Any, str, int], Launch]
    signs: Signs
    version: tuple[tuple[str, ...], re.Pattern[str]]
    get: str
    needs: str
    docs: str
    forwards: str = "x-forwarded-for"

    def path(self) -> str:
        """Return where it is, "" if it is not on the PATH."""
        return next(filter(None, map(shutil.which, self.commands)), "")

    def missing(self) -> str:
        """Return "" if it can be run here, else why not and how to get it."""
        if os.name != "posix":
            return "Programs are run on Linux and macOS only."
        return "" if self.path() else f"{self.commands[0]} is not installed; {self.get} tells how to get it."

    def about(self) -> str:
        """Return what it is called and its version, as it tells it itself."""
        arguments, pattern = self.version
        path = self.path()
        try:
            said = subprocess.run(
                [path, *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=VERSION_S,
                text=True,
                errors="replace",
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"{path}: its version is not known: {type(error).__name__}"
        found = pattern.search(said.stdout + said.stderr)
        return f"{path} {found['version']}" if found else f"{path}: its version is not known"
