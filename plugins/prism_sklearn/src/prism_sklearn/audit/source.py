"""The bytes that an unpickler would read, counted: nothing is reserved before it is there.

Every length that a file claims is held against what is left of it, and a frame of a
pickle against what it holds, so that all unpicklers see the same opcodes.
"""

from __future__ import annotations

import io
from typing import BinaryIO

# What is looked at is kept, names and small values; the rest is only counted.
KEPT_BYTES = 512
_CHUNK_BYTES = 1 << 18
_LINE_BYTES = 1 << 16


class Refused(Exception):
    """The stream is not what any pickler writes; `offset` is where. ``damaged``: as if it were cut off."""

    def __init__(self, offset: int, what: str, *, damaged: bool = False) -> None:
        super().__init__(what)
        self.offset = offset
        self.what = what
        self.damaged = damaged


class Source:
    """Reads a stream forwards.

    Parameters
    ----------
    stream
        A buffered stream.
    size
        How long it is, None where only its end will tell.
    """

    def __init__(self, stream: BinaryIO, size: int | None) -> None:
        self.offset = 0
        self.frame_end = 0
        self._stream = stream
        self._read = stream.read
        self._size = size

    def byte(self) -> int:
        """Return the next byte."""
        data = self._read(1)
        if not data:
            raise Refused(self.offset, "it ends in the middle", damaged=True)
        self.offset += 1
        return data[0]

    def take(self, count: int) -> bytes:
        """Return the next ``count`` bytes, a few."""
        self._check(count)
        data = self._read(count)
        self.offset += len(data)
        if len(data) < count:
            raise self._ends(count - len(data))
        return data

    def number(self, count: int, *, signed: bool = False) -> int:
        """Return ``count`` bytes as an integer, the lowest first."""
        return int.from_bytes(self.take(count), "little", signed=signed)

    def skip(self, count: int) -> None:
        """Pass over ``count`` bytes, however many."""
        self._check(count)
        if self._size is not None and count > _CHUNK_BYTES:
            self._stream.seek(count, io.SEEK_CUR)
            self.offset += count
            return
        left = count
        while left:
            data = self._read(min(left, _CHUNK_BYTES))
            if not data:
                raise self._ends(left)
            left -= len(data)
            self.offset += len(data)

    def line(self) -> bytes | None:
        """Return the rest of the line without its end; None, and pass over it, if it is long."""
        first = self._piece()
        if first.endswith(b"\n"):
            return first[:-1]
        while not self._piece().endswith(b"\n"):
            pass
        return None

    def begin_frame(self, size: int) -> None:
        """Enter a frame of ``size`` bytes."""
        if self.offset < self.frame_end:
            raise Refused(self.offset, "a frame begins inside another")
        self._check(size)
        self.frame_end = self.offset + size

    @property
    def in_frame(self) -> bool:
        """Whether a frame has bytes left."""
        return self.offset < self.frame_end

    def rest(self) -> int:
        """Return how many bytes are left, at most as many as are looked at at once."""
        return len(self._read(_CHUNK_BYTES))

    def _piece(self) -> bytes:
        piece = self._stream.readline(_LINE_BYTES)
        if not piece:
            raise self._ends(1)
        inside = self.in_frame
        self.offset += len(piece)
        if inside and self.offset > self.frame_end:
            raise Refused(self.frame_end, "a line runs over the end of its frame")
        return piece

    def _check(self, count: int) -> None:
        if self._size is not None and count > self._size - self.offset:
            raise self._ends(count - (self._size - self.offset))
        if self.offset < self.frame_end < self.offset + count:
            raise Refused(self.offset, "a value runs over the end of its frame")

    def _ends(self, missing: int) -> Refused:
        return Refused(self.offset, f"it announces {missing:,} bytes more than there are", damaged=True)
