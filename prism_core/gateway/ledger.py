"""The audit log's file: appended to, on disk before the call returns, closed visibly after a crash."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prism_core.audit import (
    FILE,
    HEAD_FILE,
    REPAIRED,
    Actor,
    BrokenLine,
    Entry,
    Head,
    kept_head,
    opened,
    sealed,
)

# No entry is nearly as long: see `bounded`.
TAIL_BYTES = 1 << 20
MAX_TEXT, MAX_ITEMS = 2000, 200


class Ledger:
    """The log of one data directory, whose lock the caller holds. Not for several threads at a time.

    Parameters
    ----------
    data
        The data directory.
    by
        Who repairs it, if that is needed.
    """

    def __init__(self, data: Path, by: Actor) -> None:
        self._data = data
        self._by = by
        self._log = -1
        self._kept = -1
        self._head: Head | None = None

    def append(self, actor: Actor, action: str, subject: str, facts: dict[str, Any]) -> None:
        """Write an entry; it is on disk when this returns.

        Raises
        ------
        OSError
            If it cannot be written. What came of it is found out, and closed, by the next call.
        """
        head = self._head if self._head and self._is_there() else self.open()
        self._head = None  # unknown, until it is on disk
        self._head = self._write(head, actor, action, subject, facts)

    def open(self) -> Head:
        """Open the log, and close what a crash or somebody else has left at its end; return its head."""
        self.close()
        created = not (self._data / FILE).exists()
        self._log = os.open(self._data / FILE, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._kept = os.open(self._data / HEAD_FILE, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if created:
            _sync_directory(self._data)
        head, torn = self._tail()
        missing = max(0, kept_head(self._data).count - head.count)
        if torn and not torn.endswith(b"\n"):
            self._put(b"\n")
            torn += b"\n"
        if torn or missing:
            found = {"bytes": len(torn), "sha256": hashlib.sha256(torn).hexdigest(), "missing": missing}
            head = self._write(head, self._by, REPAIRED, "", found)
        self._head = head
        return head

    def close(self) -> None:
        """Close the files."""
        for number in (self._log, self._kept):
            if number >= 0:
                os.close(number)
        self._log = self._kept = -1
        self._head = None

    def _is_there(self) -> bool:
        """Return whether what is open is still the log: somebody may have moved it away, or taken it back."""
        try:
            return os.path.samestat(os.stat(self._data / FILE), os.fstat(self._log))
        except OSError:
            return False

    def _write(self, head: Head, actor: Actor, action: str, subject: str, facts: dict[str, Any]) -> Head:
        entry = Entry(
            seq=head.count + 1,
            at=datetime.now(UTC).isoformat(timespec="microseconds"),
            actor=actor,
            action=action,
            subject=bounded(subject),
            facts=bounded(facts),
            previous=head.hash,
        )
        line, made = sealed(entry)
        self._put(line)
        # In place, and after the log: it may be behind what is in the log, never before it.
        with suppress(OSError):
            os.pwrite(self._kept, b"%020d:%b\n" % (made.count, made.hash.encode()), 0)
        return made

    def _put(self, data: bytes) -> None:
        written = os.write(self._log, data)
        if written < len(data):  # the disk is full: the rest would say so, or tear the line further
            os.write(self._log, data[written:])
        os.fsync(self._log)

    def _tail(self) -> tuple[Head, bytes]:
        """Return the head that the last whole entry makes, and what stands behind it."""
        size = os.fstat(self._log).st_size
        start = max(0, size - TAIL_BYTES)
        lines = os.pread(self._log, size - start, start).splitlines(keepends=True)
        torn: list[bytes] = []
        while lines:
            line = lines.pop()
            with suppress(BrokenLine):
                _, head = opened(line.rstrip(b"\n"))
                if not line.endswith(b"\n"):
                    self._put(b"\n")  # all of the entry is there
                return head, b"".join(reversed(torn))
            torn.append(line)
        return Head(), b"".join(reversed(torn))


def bounded(value: Any) -> Any:
    """Return a fact with long texts and lists cut, so that nobody can fill the disk with one entry."""
    if isinstance(value, str):
        text = value if len(value) <= MAX_TEXT else f"{value[:MAX_TEXT]}..."
        return text.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {bounded(str(key)): bounded(one) for key, one in list(value.items())[:MAX_ITEMS]}
    if isinstance(value, list | tuple | set | frozenset):
        items = list(value)
        cut = [f"... {len(items) - MAX_ITEMS} more"] if len(items) > MAX_ITEMS else []
        return [*map(bounded, items[:MAX_ITEMS]), *cut]
    return value


def _sync_directory(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
