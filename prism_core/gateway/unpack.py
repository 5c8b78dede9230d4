"""Unpack a directory that came as a tar: plain files and directories, nothing else.

A header is looked at before `tarfile` acts on it: that would read a name of a gigabyte into
memory, go back to where a negative size points, and fill a disk with the holes of a sparse
file.
"""

from __future__ import annotations

import os
import shutil
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Literal, Self, cast

import attrs

from prism_core.errors import ArtifactError, ArtifactTooLarge, UnsafeArtifact
from prism_core.limits import Limits

Mode = Literal["r:", "r:gz", "r:bz2"]
# Written at once.
CHUNK_BYTES = 1 << 20
# What a long name, or the attributes of one entry, may take: a path has 4096 bytes at most.
MAX_META_BYTES = 8192
MAX_NAME_BYTES = 255
MAX_PATH_BYTES = 2048
META = frozenset(
    {
        tarfile.GNUTYPE_LONGNAME,
        tarfile.GNUTYPE_LONGLINK,
        tarfile.XHDTYPE,
        tarfile.XGLTYPE,
        tarfile.SOLARIS_XHDTYPE,
    }
)
# How packed archives begin. Not xz: its header decides how much memory unpacking takes.
PACKED: Mapping[bytes, Mode] = {b"\x1f\x8b": "r:gz", b"BZ": "r:bz2"}
AFRESH = "Pack the directory afresh, or let `prism upload DIRECTORY` do it."
# A name is quoted in a message up to this length.
QUOTED = 80


class Member(tarfile.TarInfo):
    """An entry whose header was looked at, before and after its attributes were applied."""

    def _proc_member(self, tar: tarfile.TarFile) -> Self:
        # `tarfile` says of this method that it is the one for subclasses to override.
        _check_header(self, tar)
        member = cast(Self, super()._proc_member(tar))  # type: ignore[misc]  # typeshed leaves it out
        _check_header(member, tar)
        return member


def _check_header(member: tarfile.TarInfo, tar: tarfile.TarFile) -> None:
    if member.size < 0:
        raise UnsafeArtifact("The tar holds an entry of a negative size.", hint=AFRESH)
    if member.type in META and member.size > MAX_META_BYTES:
        raise UnsafeArtifact(
            f"The tar holds a name or attributes of {member.size} bytes; at most {MAX_META_BYTES} are read.",
            hint=AFRESH,
        )
    if member.type == tarfile.XGLTYPE and tar.pax_headers:
        raise UnsafeArtifact("The tar holds attributes for all entries twice.", hint=AFRESH)
    if member.type == tarfile.GNUTYPE_SPARSE or member.issparse():
        raise UnsafeArtifact("The tar holds a sparse file.", hint="Pack the directory without --sparse.")


@attrs.define
class Bounds:
    """What has been unpacked so far, held against what may be."""

    max_bytes: int
    limits: Limits
    packed_bytes: int | None
    """The size of a compressed archive, None where it is none."""
    entries: int = 0
    total_bytes: int = 0

    def add(self, member: tarfile.TarInfo) -> None:
        """Count an entry, before it is unpacked.

        Raises
        ------
        ArtifactTooLarge
            If it is one too many, or too large.
        """
        self.entries += 1
        if self.entries > self.limits.max_files:
            raise ArtifactTooLarge(
                f"The directory has more than {self.limits.max_files} files and directories.",
                hint="Leave out what the model does not need, or raise limits.max_files in prism.yaml.",
            )
        if member.isreg():
            self.total_bytes += member.size
        check_size(self.total_bytes, self.max_bytes)
        if self.packed_bytes is not None:
            self.limits.check_unpacked(self.packed_bytes, self.total_bytes)


def extract(archive: Path, target: Path, max_bytes: int, limits: Limits = Limits()) -> None:
    """Unpack a tar, also one packed with gzip or bzip2, into the new directory ``target``.

    Raises
    ------
    UnsafeArtifact
        For links, devices, sparse files, and names that are absolute, too long, lead out of
        ``target`` or come twice.
    ArtifactTooLarge
        If the content is larger than ``max_bytes``, or beyond the ``limits``.
    ArtifactError
        If it is not a tar.
    """
    target.mkdir()
    with archive.open("rb") as file:
        mode: Mode = PACKED.get(file.read(2), "r:")
    bounds = Bounds(max_bytes, limits, archive.stat().st_size if mode != "r:" else None)
    with opened(archive, mode) as tar:
        unpack(tar, target, bounds)


@contextmanager
def opened(archive: Path, mode: Mode) -> Iterator[tarfile.TarFile]:
    """Open a tar whose headers are looked at; whatever is wrong with it raises as `extract` says."""
    try:
        with tarfile.open(archive, mode, tarinfo=Member) as tar:
            yield tar
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise UnsafeArtifact("The tar has the same name twice.", hint=AFRESH) from error
    except (tarfile.TarError, EOFError, RecursionError, ValueError, OverflowError, zlib.error) as error:
        raise _not_whole(error) from error
    except OSError as error:
        if error.errno is None:  # a decompressor's; the system's own have a number
            raise _not_whole(error) from error
        raise


def unpack(tar: tarfile.TarFile, target: Path, bounds: Bounds) -> None:
    """Unpack what is left of an open tar into the directory ``target``."""
    while (member := tar.next()) is not None:
        path = target / safe_name(member)
        bounds.add(member)
        _unpack(tar, member, path)
        tar.members.clear()  # type: ignore[attr-defined]  # it would remember all of them


def _not_whole(error: Exception) -> ArtifactError:
    said = str(error)[:QUOTED] or type(error).__name__
    return ArtifactError(f"The directory did not come as a whole tar stream: {said}.", hint=AFRESH)


def _unpack(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    if member.isdir():
        path.mkdir(parents=True, exist_ok=True)
        return
    source = tar.extractfile(member)
    assert source is not None
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        shutil.copyfileobj(source, file, CHUNK_BYTES)
        file.flush()
        os.fsync(file.fileno())
    path.chmod(0o444)


def safe_name(member: tarfile.TarInfo) -> PurePosixPath:
    """Return the relative path of a tar member that may be unpacked; `UnsafeArtifact` for any other."""
    name, shown = PurePosixPath(member.name), repr(member.name[:QUOTED])
    if not (member.isreg() or member.isdir()):
        raise UnsafeArtifact(
            f"The directory holds {shown}, which is neither a file nor a directory.",
            hint="Links and devices are not taken: replace them by the files they mean.",
        )
    if name.is_absolute() or ".." in name.parts or "\0" in member.name or "\\" in member.name:
        raise UnsafeArtifact(f"The tar holds {shown}, which leads out of the directory.", hint=AFRESH)
    try:
        lengths = [len(part.encode()) for part in name.parts]
    except UnicodeEncodeError:
        raise UnsafeArtifact(f"The tar holds {shown}, which is not UTF-8.", hint=AFRESH) from None
    if sum(lengths) + len(lengths) > MAX_PATH_BYTES or max(lengths, default=0) > MAX_NAME_BYTES:
        raise UnsafeArtifact(f"The tar holds {shown}..., a name that is too long.", hint=AFRESH)
    return name


def check_size(size_bytes: int, max_bytes: int) -> None:
    """Raise `ArtifactTooLarge` for more than ``max_bytes``."""
    if size_bytes > max_bytes:
        raise ArtifactTooLarge(
            f"The artifact has {size_bytes} bytes or more; this server takes {max_bytes}.",
            hint="Raise limits.max_artifact in prism.yaml.",
        )
