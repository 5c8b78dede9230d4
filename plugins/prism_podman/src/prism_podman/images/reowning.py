"""Give all files of an image one owner, as they pass.

A user namespace of its own makes Podman without root copy an image, file by file, unless the files belong
to a user that is the same outside and inside. Images of others belong to root, who is not.
"""

from __future__ import annotations

import io
import stat
import tarfile
from collections.abc import Iterable, Iterator
from typing import IO, Any, cast

CHUNK_BYTES = 1 << 20
# An image should have neither devices nor programs that make root of a user.
KEPT_MODE = stat.S_IRWXU | stat.S_IRWXG | stat.S_IRWXO | stat.S_ISVTX


class _Reading(io.RawIOBase):
    """Bytes that come in parts, read as a file."""

    def __init__(self, parts: Iterable[bytes]) -> None:
        self._parts = iter(parts)
        self._ahead = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ahead:
            part = next(self._parts, None)
            if part is None:
                return 0
            self._ahead = part
        size = min(len(buffer), len(self._ahead))
        buffer[:size], self._ahead = self._ahead[:size], self._ahead[size:]
        return size


class _Writing(io.RawIOBase):
    """A file whose bytes are taken away in parts."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        self.size += len(data)
        return len(data)

    def taken(self) -> bytes:
        """Return what was written since it was last asked."""
        data = b"".join(self._parts)
        self._parts.clear()
        self.size = 0
        return data


def reowned(parts: Iterable[bytes], owner: int) -> Iterator[bytes]:
    """Yield the tar in ``parts`` anew: everything belongs to ``owner``, and nothing is a device."""
    source = cast("IO[bytes]", io.BufferedReader(_Reading(parts), CHUNK_BYTES))
    out = _Writing()
    with (
        tarfile.open(fileobj=source, mode="r|", errorlevel=1) as before,
        tarfile.open(fileobj=cast("IO[bytes]", out), mode="w|", format=tarfile.PAX_FORMAT) as after,
    ):
        for info in before:
            if info.isdev():
                continue
            info.uid = info.gid = owner
            info.uname = info.gname = ""
            info.mode &= KEPT_MODE
            after.addfile(info, before.extractfile(info) if info.isreg() else None)
            if out.size >= CHUNK_BYTES:
                yield out.taken()
    yield out.taken()
