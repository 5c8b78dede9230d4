"""A base image of Debian's packages, by the programs that Debian has for that."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prism_core.plugin import EnvironmentFailed
from prism_podman.host.making import labelled_as
from prism_podman.images import spooling, store
from prism_podman.images.reowning import reowned
from prism_podman.images.store import Stored, Tell
from prism_podman.private import private_directory

# Which Debian has this Python.
SUITES = {11: "bookworm", 13: "trixie"}
SUITE = SUITES.get(sys.version_info.minor, "stable")
# Beside a Python: what wheels may expect of a system, certificates and time zones.
PACKAGES = "python3,ca-certificates,libgomp1,libstdc++6,libexpat1,zlib1g,tzdata"
LEFT_OUT = ("/usr/share/man/*", "/usr/share/locale/*", "/usr/share/doc/*", "/usr/share/info/*")
RAW = "localhost/prism-base:{suite}-raw"
LAST_LINES = 3
HOW_TO_GET = "Install it (`apt install mmdebstrap`), or use `prism podman base --from-host`."


def from_debian(client: Any, suite: str, mirror: str, owner: int, tell: Tell) -> Stored:
    """Make the base image of a release of Debian.

    Raises
    ------
    EnvironmentFailed
        If the program is not there, or fails.
    """
    raw = RAW.format(suite=suite)
    tell(f"Fetching packages of Debian {suite}")
    with fetched(suite, mirror) as path:
        tell("Handing them over to Podman")
        with path.open("rb") as file:
            parts = iter(lambda: file.read(spooling.CHUNK_BYTES), b"")
            store.import_root(client, raw, reowned(parts, owner), [])
    try:
        return labelled_as(client, raw, f"debian-{suite}", owner)
    finally:
        store.untag(client, raw)


@contextmanager
def fetched(suite: str, mirror: str) -> Iterator[Path]:
    """Give the tar of a root file system."""
    with private_directory(spooling.scratch_place()) as directory:
        path = directory / "root.tar"
        if shutil.which("mmdebstrap"):
            run(mmdebstrap(suite, mirror, path))
        elif shutil.which("debootstrap") and os.geteuid() == 0:
            root = directory / "root"
            run(debootstrap(suite, mirror, root))
            run(["tar", "--numeric-owner", "--one-file-system", "-C", str(root), "-cf", str(path), "."])
        else:
            raise EnvironmentFailed("There is no mmdebstrap on this machine.", hint=HOW_TO_GET)
        yield path


def mmdebstrap(suite: str, mirror: str, path: Path) -> list[str]:
    """Return the command that needs no root."""
    left_out = [f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT]
    return [
        "mmdebstrap",
        "--quiet",
        "--variant=essential",
        f"--include={PACKAGES}",
        *left_out,
        suite,
        str(path),
        *([mirror] if mirror else []),
    ]


def debootstrap(suite: str, mirror: str, root: Path) -> list[str]:
    """Return the command that root has, where the other is not there."""
    arguments = ["--variant=minbase", f"--include={PACKAGES}", suite, str(root)]
    return ["debootstrap", *arguments, *([mirror] if mirror else [])]


def run(command: Sequence[str]) -> None:
    """Run a program that says on stderr why it fails."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        last = " / ".join((done.stderr or done.stdout).strip().splitlines()[-LAST_LINES:])
        raise EnvironmentFailed(
            f"{command[0]} failed with {done.returncode}: {last}",
            hint="Is the network there? `--mirror URL` names another mirror; `--from-host` needs none.",
        )
