"""What ``prism upload`` sends: the bytes of a file, a directory as a tar, or what a URI leads to.

The tar holds names, sizes and bytes, and nothing of this machine: the same directory is
the same bytes, and so the same digest, wherever and whenever it is sent.
"""

from __future__ import annotations

import os
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import attrs

from prism_core.errors import ArtifactError

CHUNK_BYTES = 1 << 20


@attrs.frozen
class Source:
    """A file or directory on this machine that is to be sent."""

    path: Path
    name: str
    directory: bool
    size_bytes: int

    @classmethod
    def of(cls, path: Path) -> Source:
        """Look at ``path``.

        Raises
        ------
        ArtifactError
            If there is nothing to send.
        """
        if not path.exists():
            raise ArtifactError(f"There is no file {str(path)!r}.", hint="Check the path.")
        name = path.resolve().name if path.name in ("", ".", "..") else path.name
        if path.is_dir():
            size = sum(file.stat().st_size for _, file in _files(path))
            if not size:
                raise ArtifactError(f"The directory {str(path)!r} holds nothing.")
            return cls(path, name, True, size)
        if not path.stat().st_size:
            raise ArtifactError(f"The file {str(path)!r} is empty.")
        return cls(path, name, False, path.stat().st_size)

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes to send."""
        yield from tar_of(self.path) if self.directory else _chunks(self.path)


@contextmanager
def located(artifact: str) -> Iterator[Source]:
    """Find what FILE, DIR or URI means; what was fetched is gone at the end."""
    if "://" not in artifact:
        yield Source.of(Path(artifact).expanduser())
        return
    with tempfile.TemporaryDirectory(prefix="prism-fetch-") as scratch:
        yield Source.of(fetch(artifact, Path(scratch)))


def fetch(uri: str, directory: Path) -> Path:
    """Return the path of what ``uri`` leads to, fetched into ``directory`` by a plugin.

    Raises
    ------
    ArtifactError
        If no plugin knows such URIs.
    """
    from prism_core.plugins import load_plugins

    found: Path | None = load_plugins().hooks.prism_fetch_artifact(uri=uri, directory=directory)
    if found is not None:
        return found
    parts = urlsplit(uri)
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return Path(unquote(parts.path))
    raise ArtifactError(
        f"No installed plugin fetches {parts.scheme}:// addresses.",
        hint="Download it and upload the file, or install a plugin that does; `prism plugins` lists them.",
    )


# --- bytes ----------------------------------------------------------------------------------


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def tar_of(root: Path) -> Iterator[bytes]:
    """Yield a tar of the files below ``root``, in order of their names."""
    for name, path in _files(root):
        info = tarfile.TarInfo(name)
        info.size = path.stat().st_size
        yield info.tobuf(tarfile.PAX_FORMAT)
        yield from _exactly(path, info.size)
        yield b"\0" * (-info.size % tarfile.BLOCKSIZE)
    yield b"\0" * (2 * tarfile.BLOCKSIZE)


def _exactly(path: Path, size: int) -> Iterator[bytes]:
    sent = 0
    for chunk in _chunks(path):
        sent += len(chunk)
        if sent <= size:
            yield chunk
    if sent != size:
        raise ArtifactError(f"The file {str(path)!r} changed while it was sent.", hint="Upload again.")


def _files(root: Path) -> list[tuple[str, Path]]:
    """Return the files below ``root`` by name; links to files are followed, links to directories are not."""
    found = [
        Path(directory, name)
        for directory, _, names in os.walk(root)
        for name in names
        if Path(directory, name).is_file()
    ]
    return sorted((path.relative_to(root).as_posix(), path) for path in found)
