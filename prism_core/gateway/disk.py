"""What a disk that is full or broken, and a database that is locked, are told as."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from prism_core.errors import StorageFailed, StorageFull

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
BROKEN = frozenset({errno.EIO, errno.EROFS})
UNDONE = "Nothing of it was kept, and what was there before is served on."


@contextmanager
def disk_errors() -> Iterator[None]:
    """Turn the errors of a full or broken disk into ours; all others are passed on.

    Raises
    ------
    StorageFull, StorageFailed
        As the block ran into it.
    """
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise full() from error
        if error.errno in BROKEN:
            raise StorageFailed(
                f"The server's disk cannot be written: {error.strerror}.", hint=UNDONE
            ) from error
        raise


def full() -> StorageFull:
    """Return the error of a full disk."""
    return StorageFull(
        "The server's disk is full, or its quota is used up.",
        hint=f"Free some space (`prism remove` frees a model's) and try again. {UNDONE}",
    )


def database_error(error: sqlite3.DatabaseError) -> StorageFull | StorageFailed:
    """Return what an error of SQLite means."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest of it says where inside SQLite
    if code == sqlite3.SQLITE_FULL:
        return full()
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StorageFailed(
            "Another program holds the registry's database locked.",
            hint=f"Try again when it has let go. {UNDONE}",
            details={"retry_after_s": 1.0},
        )
    return StorageFailed(f"The registry's database cannot be used: {error}.", hint=UNDONE)
