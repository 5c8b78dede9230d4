"""Files as a tar stream of names, sizes and bytes, with nothing in it of the machine or the moment.

The same files are the same bytes, wherever and whenever they are sent. How long the stream will be is
known before it begins.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import attrs

from prism_core.errors import ArtifactError

CHUNK_BYTES = 1 << 20
END = bytes(2 * tarfile.BLOCKSIZE)


@attrs.frozen
class Entry:
    """One file of the stream: its name there, and its bytes or where they lie."""

    name: str
    size_bytes: int
    content: Path | bytes

    @classmethod
    def of(cls, name: str, content: Path | bytes) -> Entry:
        """Look at what is to be sent."""
        return cls(name, len(content) if isinstance(content, bytes) else content.stat().st_size, content)

    def head(self) -> bytes:
        """Return what stands before the bytes."""
        info = tarfile.TarInfo(self.name)
        info.size = self.size_bytes
        return info.tobuf(tarfile.PAX_FORMAT)

    def chunks(self) -> Iterator[bytes]:
        """Yield head, bytes and padding."""
        yield self.head()
        yield from (
            [self.content] if isinstance(self.content, bytes) else exactly(self.content, self.size_bytes)
        )
        yield bytes(-self.size_bytes % tarfile.BLOCKSIZE)


def stream(entries: Iterable[Entry]) -> Iterator[bytes]:
    """Yield the tar of ``entries``.

    Raises
    ------
    ArtifactError
        If a file is not as long any more as when it was looked at.
    """
    for entry in entries:
        yield from entry.chunks()
    yield END


def length(entries: Iterable[Entry]) -> int:
    """Return how many bytes `stream` yields."""
    padded = (len(one.head()) + one.size_bytes + -one.size_bytes % tarfile.BLOCKSIZE for one in entries)
    return sum(padded) + len(END)


def files_below(root: Path) -> list[tuple[str, Path]]:
    """Return the files below ``root`` by name; links to files are followed, links to directories are not."""
    found = [
        Path(directory, name)
        for directory, _, names in os.walk(root)
        for name in names
        if Path(directory, name).is_file()
    ]
    return sorted((path.relative_to(root).as_posix(), path) for path in found)


def chunks_of(path: Path) -> Iterator[bytes]:
    """Yield a file's bytes."""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def exactly(path: Path, size_bytes: int) -> Iterator[bytes]:
    """Yield a file's bytes, which are as many as were announced."""
    sent = 0
    for chunk in chunks_of(path):
        sent += len(chunk)
        if sent <= size_bytes:
            yield chunk
    if sent != size_bytes:
        raise ArtifactError(f"The file {str(path)!r} changed while it was sent.", hint="Try again.")
