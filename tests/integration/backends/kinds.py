"""The isolation backends of the suite: how a server gets them, and what is to be done before and after."""

from __future__ import annotations

import fcntl
import functools
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import attrs

from prism_core.testing.server import PRISM
from tests.integration.backends.scene import Server


@attrs.frozen
class Backend:
    """One isolation backend. ``plugins`` are those that a server needs for it."""

    name: str
    plugins: tuple[str, ...] = ()

    def missing(self) -> str:
        """Return why it cannot be had here, "" if it can."""
        return ""

    def prepare(self) -> None:
        """Do what takes long and is done once for all servers."""

    def clean(self, data_dir: Path) -> None:
        """Remove what the servers of a data directory have left on the machine."""

    def serve(self, data_dir: Path, *flags: str) -> Server:
        """Return a server on this backend, to be started."""
        plugins = ",".join(("told", *self.plugins))
        return Server(data_dir, "--plugins", plugins, "--isolation", self.name, *flags)


@attrs.frozen
class Podman(Backend):
    """Containers, on a base image of this interpreter."""

    def missing(self) -> str:
        try:
            from prism_podman.machine import missing
        except ImportError:
            return "prism-podman is not installed; `make setup` does that"
        return missing()

    def prepare(self) -> None:
        make_base()

    def clean(self, data_dir: Path) -> None:
        """Remove its images, and containers that a failed test has left."""
        label = f"label=prism.server={(data_dir / 'server-id').read_text().strip()}"
        for found, remove in ((("ps", "--all"), ("rm", "--force")), (("images",), ("rmi", "--force"))):
            names = podman(*found, "--quiet", "--filter", label).split()
            if names:
                podman(*remove, *names)


@functools.cache
def make_base() -> None:
    """Make the base image where there is none; of several test processes one does it."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    with Path(tempfile.gettempdir(), f"prism-tests-{os.getuid()}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if f"localhost/prism-base:{version}" not in podman("images", "--format", "{{.Repository}}:{{.Tag}}"):
            subprocess.run([*PRISM, "podman", "base", "--from-host"], check=True)


def podman(*arguments: str) -> str:
    """Run a command of Podman itself, from where every user may be."""
    command = ["podman", *arguments]
    return subprocess.run(command, cwd="/", check=True, stdout=subprocess.PIPE, text=True).stdout


PROCESS = Backend("process")
PODMAN = Podman("podman", ("podman",))
