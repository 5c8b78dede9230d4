"""The digest of an artifact: of a file's bytes, or of a directory's sorted content."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

# The first bytes of what is hashed for a directory: no file has the digest of a directory by accident.
TREE = b"prism directory 1\n"


def digest_of(path: Path) -> tuple[str, int]:
    """Return the digest of a file or directory and its size in bytes.

    A directory's digest covers the names and contents of its files in sorted order; times,
    owners and modes do not matter.
    """
    if path.is_file():
        return f"sha256:{_hash_file(path)}", path.stat().st_size
    summary, size = hashlib.sha256(TREE), 0
    files = {p.relative_to(path).as_posix(): p for p in path.rglob("*") if p.is_file()}
    for name in sorted(files):
        # A name has no newline's worth of ambiguity: its length stands before it.
        written = os.fsencode(name)
        summary.update(b"%d %b %b\n" % (len(written), written, _hash_file(files[name]).encode()))
        size += files[name].stat().st_size
    return f"sha256:{summary.hexdigest()}", size


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
