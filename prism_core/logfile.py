"""A replica's log: one file that it appends to, one older one, read from the end."""

from __future__ import annotations

import asyncio
import errno
import io
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

LOG = "log"
MAX_LOG_BYTES = 10 * 1024 * 1024
# Only while somebody follows. inotify would need a dependency or ctypes.
FOLLOW_S = 0.25
_BLOCK_BYTES = 64 * 1024


class ForgivingStream(io.FileIO):
    """Writes to a log that may not grow any more; what finds no room is lost.

    A model that prints too much must not fail for it.
    """

    def write(self, data: Any) -> int:
        """Write, or pretend to."""
        try:
            return super().write(data) or 0
        except OSError as error:
            if error.errno not in (errno.EFBIG, errno.ENOSPC):
                raise
            return len(memoryview(data).cast("B"))

    @classmethod
    def text(cls, descriptor: int) -> io.TextIOWrapper:
        """Return a text stream to ``descriptor``, written line by line."""
        raw = cls(descriptor, "w", closefd=False)
        buffered = io.BufferedWriter(raw)
        return io.TextIOWrapper(buffered, "utf-8", "backslashreplace", line_buffering=True)


def open_log(directory: Path) -> int:
    """Open the log for appending and return its descriptor; a large one is put aside as ``log.1``."""
    path = directory / LOG
    if path.exists() and path.stat().st_size > MAX_LOG_BYTES:
        path.replace(directory / f"{LOG}.1")
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def trim_log(directory: Path) -> None:
    """Put the end of a log that has grown large aside as ``log.1`` and begin it anew.

    Whoever writes it goes on: its descriptor appends.
    """
    path = directory / LOG
    with suppress(OSError):
        if path.stat().st_size > MAX_LOG_BYTES:
            with path.open("rb") as file:
                file.seek(-MAX_LOG_BYTES, os.SEEK_END)
                (directory / f"{LOG}.1").write_bytes(file.read())
            os.truncate(path, 0)


async def read_log(directory: Path, tail: int, follow: bool) -> AsyncIterator[str]:
    """Yield the last ``tail`` lines, and with ``follow`` those to come, without line ends.

    A log that does not exist yet is an empty one; one that is truncated or put aside is
    followed from its new beginning.
    """
    path = directory / LOG
    lines, end, identity = await asyncio.to_thread(_last_lines, path, tail, follow)
    for line in lines:
        yield line
    while follow:
        data, end, identity = _new_lines(path, end, identity)
        for line in _split(data):
            yield line
        if not data:
            await asyncio.sleep(FOLLOW_S)


def _last_lines(path: Path, tail: int, whole: bool) -> tuple[list[str], int, int]:
    """Return lines, where the reading ended, and the file's inode; ``whole``: without an unfinished line."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return [], 0, 0
    with file:
        start = end = file.seek(0, os.SEEK_END)
        blocks: list[bytes] = []
        line_ends = 0
        # One more line end than lines: the line before the first one must be over.
        while start > 0 and line_ends <= tail and end - start < MAX_LOG_BYTES:
            step = min(_BLOCK_BYTES, start)
            start -= step
            file.seek(start)
            blocks.append(file.read(step))
            line_ends += blocks[-1].count(b"\n")
        data = b"".join(reversed(blocks))
        if whole:
            kept = data.rfind(b"\n") + 1
            end -= len(data) - kept
            data = data[:kept]
        return _split(data)[-tail:] if tail > 0 else [], end, os.fstat(file.fileno()).st_ino


def _new_lines(path: Path, position: int, identity: int) -> tuple[bytes, int, int]:
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return b"", 0, 0
    with file:
        status = os.fstat(file.fileno())
        if status.st_ino != identity or status.st_size < position:
            position = 0
        file.seek(position)
        data = file.read(MAX_LOG_BYTES)
    data = data[: data.rfind(b"\n") + 1] if len(data) < MAX_LOG_BYTES else data
    return data, position + len(data), status.st_ino


def _split(data: bytes) -> list[str]:
    # Not splitlines: a progress bar's \r and a form feed are part of a line.
    text = data.decode(errors="replace")
    return text.removesuffix("\n").split("\n") if text else []
