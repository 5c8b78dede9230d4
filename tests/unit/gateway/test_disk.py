"""What is told of a disk that is full or broken, and of a database that is locked or no database."""

from __future__ import annotations

import errno
import os
import sqlite3
import time

import pytest

from prism_core.errors import StorageFailed, StorageFull
from prism_core.gateway import records
from prism_core.gateway.disk import disk_errors
from prism_core.gateway.records import open_records
from prism_core.specs import ModelEvent


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (errno.ENOSPC, StorageFull),
        (errno.EDQUOT, StorageFull),
        (errno.EFBIG, StorageFull),
        (errno.EROFS, StorageFailed),
        (errno.EIO, StorageFailed),
        (errno.ENOENT, FileNotFoundError),
    ],
)
def test_an_error_of_the_disk(number, told):
    with pytest.raises(told), disk_errors():
        raise OSError(number, os.strerror(number))


@pytest.fixture
def locked(tmp_path, monkeypatch):
    """A function that holds the database as another program might."""
    monkeypatch.setattr(records, "PATIENCE_MS", 50)
    connections = []

    def lock():
        connections.append(sqlite3.connect(tmp_path / "prism.db", isolation_level=None))
        connections[0].execute("begin exclusive")
        return connections[0]

    yield lock
    for connection in connections:
        connection.close()


async def test_a_locked_database_refuses_and_changes_nothing(tmp_path, locked):
    async with open_records(tmp_path / "prism.db") as rows:
        holder = locked()
        with pytest.raises(StorageFailed, match="locked") as refused:
            await rows.set_wanted("m", [1], True)
        holder.execute("rollback")

        assert refused.value.details["retry_after_s"]
        await rows.set_wanted("m", [1], True)


async def test_what_nobody_misses_does_not_wait_again_and_again(tmp_path, locked):
    """A server that ends writes hundreds of such rows."""
    event = ModelEvent("model.ready", "m", 1, 0.0, {})
    async with open_records(tmp_path / "prism.db") as rows:
        locked()
        begun = time.monotonic()
        for _ in range(100):
            with pytest.raises(StorageFailed):
                await rows.add_event(event)

        assert time.monotonic() - begun < 100 * records.LITTLE_PATIENCE_MS / 1000 / 4


async def test_a_file_that_is_no_database_is_told(tmp_path):
    (tmp_path / "prism.db").write_bytes(b"not a database" * 100)

    with pytest.raises(StorageFailed, match="not a database"):
        async with open_records(tmp_path / "prism.db"):
            pass
