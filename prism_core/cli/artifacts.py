"""What ``prism upload`` sends: the bytes of a file, a directory as a tar, or what a URI leads to.

The same directory is the same bytes, and so the same digest, wherever and whenever it is sent.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import attrs

from prism_core import tars
from prism_core.errors import ArtifactError


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
            size = sum(file.stat().st_size for _, file in tars.files_below(path))
            if not size:
                raise ArtifactError(f"The directory {str(path)!r} holds nothing.")
            return cls(path, name, True, size)
        if not path.stat().st_size:
            raise ArtifactError(f"The file {str(path)!r} is empty.")
        return cls(path, name, False, path.stat().st_size)

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes to send."""
        yield from tar_of(self.path) if self.directory else tars.chunks_of(self.path)


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


def tar_of(root: Path) -> Iterator[bytes]:
    """Yield a tar of the files below ``root``, in order of their names."""
    return tars.stream(tars.Entry.of(name, path) for name, path in tars.files_below(root))
