"""The files of a recording: each is written by one process, and bounded by all of them.

``recordings/churn/<when, in ms>-<pid>-<number>.rec``. A file is locked while it is written to, so a reader
knows whether its end is torn or still to come. Whoever writes looks whether the oldest have to go, whoever's
they are; a process whose file is gone begins another one.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path

from prism_core.gateway.traffic.recordings.exchange import SegmentHead, encode_head
from prism_core.traffic.recording import Kept, Recording, outlived

SUFFIX = ".rec"
_NAME = re.compile(r"(\d+)-\d+-\d+\.rec")
_numbers = count(1)


def files_of(directory: Path) -> list[Kept]:
    """Return the files of one recording, the oldest first; what vanishes meanwhile is not there."""
    found = []
    with suppress(FileNotFoundError), os.scandir(directory) as entries:
        for entry in entries:
            if name := _NAME.fullmatch(entry.name):
                with suppress(FileNotFoundError):
                    found.append(Kept(entry.name, entry.stat().st_size, int(name[1]) / 1000))
    return sorted(found, key=lambda one: (one.made, one.name))


def bound(directory: Path, max_size: int, oldest: float) -> int:
    """Remove what has outlived its bounds; return how many files that were."""
    going = outlived(files_of(directory), max_size, oldest)
    for name in going:
        (directory / name).unlink(missing_ok=True)
    return len(going)


class Segments:
    """What one process writes of the recording of one model. Not for several threads.

    Parameters
    ----------
    directory
        Where all processes write; made with the first file.
    """

    def __init__(self, directory: Path, model: str, clock: Callable[[], float] = time.time) -> None:
        self._directory = directory
        self._model = model
        self._clock = clock
        self._number = -1
        self._recording: Recording | None = None
        self._made = 0.0
        self._size = 0

    def append(self, block: bytes, recording: Recording) -> None:
        """Write a block, whole or not at all; then let go what is too much.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        if not self._goes_on(recording):
            self._begin(recording)
        try:
            _write(self._number, block)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._number, self._size)  # nobody could read what came behind a half one
            self.close()
            raise
        self._size += len(block)
        bound(self._directory, recording.max_size, self._clock() - recording.max_age_s)

    def close(self) -> None:
        """Write no more to the file that is open; the next block begins another one."""
        if self._number >= 0:
            os.close(self._number)
            self._number = -1

    def _goes_on(self, recording: Recording) -> bool:
        if self._number < 0 or recording != self._recording:
            return False
        full = self._size >= recording.segment_bytes or self._clock() - self._made >= recording.segment_s
        return not full and os.fstat(self._number).st_nlink > 0  # 0: somebody has removed it

    def _begin(self, recording: Recording) -> None:
        self.close()
        now = self._clock()
        self._directory.parent.mkdir(mode=0o700, exist_ok=True)
        self._directory.mkdir(mode=0o700, exist_ok=True)
        name = f"{int(now * 1000):013d}-{os.getpid()}-{next(_numbers)}{SUFFIX}"
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._number = os.open(self._directory / name, flags, 0o600)
        fcntl.flock(self._number, fcntl.LOCK_EX)
        head = encode_head(
            SegmentHead(self._model, now, recording.percent, recording.max_age_s, recording.redact)
        )
        self._recording, self._made, self._size = recording, now, len(head)
        try:
            _write(self._number, head)
        except OSError:
            (self._directory / name).unlink(missing_ok=True)  # nobody could read what came behind half a head
            self.close()
            raise


def _write(number: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(number, rest) :]
