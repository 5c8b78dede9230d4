"""Artifacts by the SHA-256 of their content: same bytes, same digest, one copy.

Content is hashed while it is written to a temporary name in the same directory, then
fsynced and renamed, so a name in the store always means whole content, whatever was
killed when. A directory comes as a tar stream and is digested over its sorted content.

Who needs an artifact holds it; the last one to let go removes it.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO

import attrs

from prism_core.errors import ArtifactDamaged, ArtifactError
from prism_core.gateway.digests import digest_of
from prism_core.gateway.disk import disk_errors
from prism_core.gateway.soundness import Soundness
from prism_core.gateway.unpack import check_size, extract
from prism_core.limits import Limits

# What is collected before a thread writes it: one hand-over a chunk, not one a packet.
CHUNK_BYTES = 1 << 20
HEAD_BYTES = 512
INCOMING = "incoming-"

Checkpoint = Callable[[str], None]


def passing(step: str) -> None:
    """Do nothing at a checkpoint. Tests pass one that ends the process there."""


@attrs.frozen
class Kept:
    """An artifact in the store."""

    digest: str
    size_bytes: int
    path: Path


class Staged:
    """Bytes on their way into the store: ``await write(chunk)``, then `Store.keep`.

    ``head`` are the first of them, enough to tell what they are.
    """

    def __init__(self, path: Path, file: IO[bytes], max_bytes: int) -> None:
        self.path = path
        self.size_bytes = 0
        self.head = b""
        self._file = file
        self._hash = hashlib.sha256()
        self._max_bytes = max_bytes
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0

    async def write(self, chunk: bytes) -> None:
        """Add bytes.

        Raises
        ------
        ArtifactTooLarge
            As soon as there are more than the server takes.
        """
        self.size_bytes += len(chunk)
        check_size(self.size_bytes, self._max_bytes)
        if len(self.head) < HEAD_BYTES:
            self.head += chunk[: HEAD_BYTES - len(self.head)]
        self._waiting.append(chunk)
        self._waiting_bytes += len(chunk)
        if self._waiting_bytes >= CHUNK_BYTES:
            await self._flush()

    async def finish(self) -> str:
        """Make the bytes durable; return their digest."""
        await self._flush()
        await asyncio.to_thread(self._sync)
        return f"sha256:{self._hash.hexdigest()}"

    async def _flush(self) -> None:
        data = b"".join(self._waiting)
        self._waiting.clear()
        self._waiting_bytes = 0
        await asyncio.to_thread(self._append, data)

    def _append(self, data: bytes) -> None:
        self._hash.update(data)
        self._file.write(data)

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())


class Store:
    """The artifacts of one data directory.

    Parameters
    ----------
    directory
        Where they lie; made if needed.
    max_bytes
        The largest artifact taken, packed or unpacked.
    checkpoint
        Called with the name of each step that a kill may fall behind.
    limits
        Further bounds on what is unpacked.

    Attributes
    ----------
    soundness
        Which artifacts are known to be what was uploaded.
    """

    def __init__(
        self,
        directory: Path,
        max_bytes: int,
        checkpoint: Checkpoint = passing,
        limits: Limits = Limits(),
    ) -> None:
        self.directory = directory
        self.max_bytes = max_bytes
        self.limits = limits
        self.soundness = Soundness()
        self._checkpoint = checkpoint
        self._holders: Counter[str] = Counter()
        self._lock = asyncio.Lock()
        directory.mkdir(parents=True, exist_ok=True)

    def path(self, digest: str) -> Path:
        """Return where the artifact with ``digest`` lies, or would."""
        return self.directory / digest.replace(":", "-")

    @asynccontextmanager
    async def stage(self) -> AsyncIterator[Staged]:
        """Open a place for bytes; what has not been kept by the end is gone."""
        with disk_errors():
            descriptor, name = tempfile.mkstemp(prefix=INCOMING, dir=self.directory)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    yield Staged(Path(name), file, self.max_bytes)
            finally:
                Path(name).unlink(missing_ok=True)

    async def keep(self, staged: Staged, *, directory: bool = False) -> Kept:
        """Take staged bytes into the store and hold them once.

        Parameters
        ----------
        directory
            The bytes are a tar of a directory, which is what is stored.

        Raises
        ------
        UnsafeArtifact
            For a tar with links, devices, or names that lead out of it.
        """
        digest = await staged.finish()
        self._checkpoint("store.written")
        if not directory:
            return await self._take(staged.path, digest, staged.size_bytes)
        return await self.keep_made(
            lambda content: extract(staged.path, content, self.max_bytes, self.limits)
        )

    async def keep_path(self, path: Path) -> Kept:
        """Take a copy of a file or directory of this machine and hold it once."""
        digest, size = await asyncio.to_thread(digest_of, path)
        check_size(size, self.max_bytes)
        if await self._is_whole(digest):
            return await self._take(path, digest, size)
        return await self.keep_made(lambda content: _copy(path, content))

    async def keep_made(self, make: Callable[[Path], None], digest: str = "") -> Kept:
        """Take what ``make`` writes to the path that it is given, and hold it once.

        Raises
        ------
        ArtifactError
            If a ``digest`` is given and what was written has another.
        """
        scratch = Path(tempfile.mkdtemp(prefix=INCOMING, dir=self.directory))
        try:
            content = scratch / "content"
            await asyncio.to_thread(make, content)
            self._checkpoint("store.unpacked")
            # Digested only now: a file of this machine may change while it is copied.
            found, size_bytes = await asyncio.to_thread(digest_of, content)
            if digest and found != digest:
                raise ArtifactError(
                    f"The artifact has the digest {found}, not {digest:.80} as it should.",
                    hint="It was damaged on its way: send it again, or have it made anew.",
                )
            return await self._take(content, found, size_bytes)
        finally:
            await asyncio.to_thread(_delete, scratch)

    def hold(self, digest: str) -> None:
        """Keep the artifact until one more `release`."""
        self._holders[digest] += 1

    async def release(self, digest: str) -> None:
        """Let go of the artifact; the last holder's release removes it."""
        async with self._lock:
            self._holders[digest] -= 1
            if self._holders[digest] <= 0:
                del self._holders[digest]
                self.soundness.forget(self.path(digest))
                await asyncio.to_thread(_delete, self.path(digest))

    def collect(self, needed: Collection[str]) -> list[str]:
        """Remove what a killed server left: all but the ``needed`` digests. Return the removed names."""
        names = {self.path(digest).name for digest in needed}
        garbage = [entry for entry in self.directory.iterdir() if entry.name not in names]
        for entry in garbage:
            _delete(entry)
        return [entry.name for entry in garbage]

    async def _take(self, path: Path, digest: str, size_bytes: int) -> Kept:
        async with self._lock:
            self.hold(digest)
            target = self.path(digest)
            try:
                if not await self._is_whole(digest):
                    await asyncio.to_thread(self._rename, path, target)
            except BaseException:
                self._holders[digest] -= 1
                raise
            return Kept(digest, size_bytes, target)

    async def _is_whole(self, digest: str) -> bool:
        path = self.path(digest)
        if not path.exists():
            return False
        try:
            await self.soundness.check(path, digest)
        except ArtifactDamaged:
            return False
        return True

    def _rename(self, path: Path, target: Path) -> None:
        _delete(target)  # a damaged one
        if path.is_file():
            path.chmod(0o444)
        path.rename(target)
        self._checkpoint("store.renamed")
        sync_directory(self.directory)
        self.soundness.remember(target)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)
    for file in [target] if target.is_file() else [p for p in target.rglob("*") if p.is_file()]:
        _sync_file(file)


def sync_directory(path: Path) -> None:
    """Make a rename in ``path`` durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
