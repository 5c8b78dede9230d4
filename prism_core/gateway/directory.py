"""The files of a data directory that are neither artifacts nor rows: lock, run directory, token, id."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from prism_core.errors import ConfigError


@contextmanager
def locked(data: Path) -> Iterator[None]:
    """Hold the data directory; `ConfigError` if another server does."""
    with (data / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            raise ConfigError(
                f"Another server (process {file.read().strip() or 'unknown'}) uses this data directory.",
                hint="Stop it, or choose another --data-dir.",
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


@contextmanager
def run_directory(data: Path) -> Iterator[Path]:
    """Make a short private directory for sockets; one that a killed server left is removed."""
    note = data / "run"
    with suppress(OSError):
        left = Path(note.read_text())
        if left.name.startswith("prism-") and left.stat().st_uid == os.getuid():
            shutil.rmtree(left, ignore_errors=True)
    # macOS's own temporary directory is too long for a Unix socket's 104 bytes.
    run = Path(tempfile.mkdtemp(prefix="prism-", dir="/tmp"))
    note.write_text(str(run))
    try:
        yield run
    finally:
        shutil.rmtree(run, ignore_errors=True)
        note.unlink(missing_ok=True)


def admin_token(data: Path) -> str:
    """Return the admin token, made at the first start; only its owner can read the file."""
    path = data / "admin-token"
    with suppress(FileNotFoundError):
        token = path.read_text().strip()
        if token:
            path.chmod(0o600)
            return token
    token = secrets.token_urlsafe(32)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(token)
    return token


def server_id(data: Path) -> str:
    """Return what tells this server from all others, for good; made at the first start."""
    path = data / "server-id"
    with suppress(FileNotFoundError):
        found = path.read_text().strip()
        if found:
            return found
    made = secrets.token_hex(8)
    path.write_text(made)
    return made
