"""A version of the server as it is exported: its bundle, and the artifact in it, on this machine."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from prism_core import bundle as bundles
from prism_core import tars
from prism_core.bundle import Bundle
from prism_core.cli.client import AdminClient, model_path
from prism_core.cli.progress import progress_of


def download(client: AdminClient, name: str, number: int, file: IO[bytes], verb: str, *, quiet: bool) -> int:
    """Write the bundle of a version into ``file``; return its size."""
    path, size = f"{model_path(name)}/versions/{number}/bundle", 0
    with client.stream("GET", path) as response:
        whole = int(response.headers["content-length"])
        with progress_of(f"{name}/{number}", whole, quiet=quiet, verb=verb) as progress:
            for chunk in response.iter_raw():
                file.write(chunk)
                progress.sent(len(chunk))
                size += len(chunk)
    file.flush()
    return size


@contextmanager
def fetched(
    client: AdminClient, name: str, number: int, *, quiet: bool, directory: Path | None = None
) -> Iterator[tuple[Bundle, Path]]:
    """Give what a version's bundle says, and its artifact; what is not moved from there is gone afterwards.

    ``directory`` is where the artifact is going to: it is fetched within, and need not be copied then.
    """
    with tempfile.TemporaryDirectory(prefix=".prism-export-", dir=directory) as scratch:
        bundle = Path(scratch, "bundle")
        with bundle.open("wb") as file:
            download(client, name, number, file, "Fetching", quiet=quiet)
        yield _unpacked(bundle, Path(scratch))


def _unpacked(file: Path, directory: Path) -> tuple[Bundle, Path]:
    """Unpack what our own server has packed."""
    with tarfile.open(file, "r:") as tar:
        member = tar.next()
        said = tar.extractfile(member) if member else None
        bundle = bundles.decode(said.read() if said else b"")
        for member in tar:  # not `extractall`: its filters are not in every 3.11
            _place(tar, member, directory)
    file.unlink()
    return bundle, directory / bundles.ARTIFACT


def _place(tar: tarfile.TarFile, member: tarfile.TarInfo, directory: Path) -> None:
    name = PurePosixPath(member.name)
    content = tar.extractfile(member) if member.isreg() else None
    if content is None or name.parts[0] != bundles.ARTIFACT or ".." in name.parts:
        return
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        shutil.copyfileobj(content, file, tars.CHUNK_BYTES)
