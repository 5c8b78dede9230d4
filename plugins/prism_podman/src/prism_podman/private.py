"""Directories that only this user may enter, short for the sake of sockets, gone with their process."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = "prism-containers-"
LOCK = "lock"


@contextmanager
def private_directory(parent: Path | None = None) -> Iterator[Path]:
    """Give a new directory and remove it; those of processes that were killed are removed first."""
    parent = parent or Path(tempfile.gettempdir())
    sweep(parent)
    directory = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    with (directory / f"{LOCK}.new").open("w") as lock:
        # The kernel lets it go when the process ends, however that ends.
        fcntl.flock(lock, fcntl.LOCK_EX)
        (directory / f"{LOCK}.new").rename(directory / LOCK)
        try:
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)


def sweep(parent: Path) -> None:
    """Remove directories of this user whose processes are gone."""
    for directory in parent.glob(f"{PREFIX}*"):
        try:
            if directory.stat().st_uid == os.geteuid() and _is_left(directory / LOCK):
                shutil.rmtree(directory, ignore_errors=True)
        except OSError:
            pass  # another process was quicker


def _is_left(lock: Path) -> bool:
    if not lock.is_file():
        return False  # one that is being made
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
