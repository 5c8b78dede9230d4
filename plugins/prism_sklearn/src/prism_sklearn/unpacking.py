"""The content of a file, unpacked as it is read: the same bytes for the audit and for the load.

One compressed stream and nothing behind it, as joblib writes it; how much comes out of it is held
against the server's limits while it comes.
"""

from __future__ import annotations

import bz2
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from prism_core.plugin import Artifact, Limits

_CHUNK_BYTES = 1 << 16
_BUFFER_BYTES = 1 << 18
# An lzma header may ask for a dictionary of 4 GB.
LZMA_MEMORY_BYTES = 1 << 27


class Damaged(ValueError):
    """A compressed file is none, is cut off, or has something behind it."""


class _Zlib:
    """zlib and gzip, with the methods that the other decompressors have."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(wbits=47)

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._stream.decompress(self._stream.unconsumed_tail + data, max_length)

    @property
    def needs_input(self) -> bool:
        return not self._stream.unconsumed_tail

    @property
    def eof(self) -> bool:
        return self._stream.eof

    @property
    def unused_data(self) -> bytes:
        return self._stream.unused_data


def _lzma() -> Any:
    return lzma.LZMADecompressor(memlimit=LZMA_MEMORY_BYTES)


def _lz4() -> Any:
    from lz4.frame import LZ4FrameDecompressor

    return LZ4FrameDecompressor()


# joblib's compressions by magic number: zlib, gzip, bz2, xz, lzma, lz4.
COMPRESSIONS: dict[bytes, Callable[[], Any]] = {
    b"\x78": _Zlib,
    b"\x1f\x8b": _Zlib,
    b"BZh": bz2.BZ2Decompressor,
    b"\xfd7zXZ\x00": _lzma,
    b"\x5d\x00": _lzma,
    b"\x04\x22\x4d\x18": _lz4,
}


def compression_of(head: bytes) -> bytes | None:
    """Return the magic number of a compression that joblib writes, or None."""
    return next((magic for magic in COMPRESSIONS if head.startswith(magic)), None)


class _Unpacked(io.RawIOBase):
    """Reads what a compressed file holds."""

    def __init__(self, file: BinaryIO, size: int, decompressor: Any, limits: Limits) -> None:
        self._file = file
        self._size = size
        self._decompressor = decompressor
        self._limits = limits
        self._count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._next(len(buffer))
        buffer[: len(data)] = data
        self._count += len(data)
        self._limits.check_unpacked(self._size, self._count)
        return len(data)

    def _next(self, most: int) -> bytes:
        decompressor = self._decompressor
        while not decompressor.eof:
            packed = self._file.read(_CHUNK_BYTES) if decompressor.needs_input else b""
            if decompressor.needs_input and not packed:
                raise Damaged("the compressed file is cut off")
            data: bytes = _decompressed(decompressor, packed, most)
            if data:
                return data
        if decompressor.unused_data or self._file.read(1):
            raise Damaged("something follows the end of the compressed file")
        return b""


def _decompressed(decompressor: Any, packed: bytes, most: int) -> bytes:
    try:
        return bytes(decompressor.decompress(packed, most))
    except MemoryError as error:
        raise Damaged("the compressed file asks for more memory than compressing it took") from error
    except Exception as error:  # each library has its own errors for damaged data
        raise Damaged(f"the compressed file is damaged: {error}") from error


@contextmanager
def opened(artifact: Artifact) -> Iterator[tuple[BinaryIO, int | None]]:
    """Open the content of ``artifact``, unpacked.

    Yields
    ------
    tuple
        A buffered stream, and its size, or None where only its end will tell. Reading from it raises
        `Damaged`, or `ArtifactTooLarge` beyond the limits.

    Raises
    ------
    ModuleNotFoundError
        If it is compressed with lz4 and that is not installed.
    """
    magic = compression_of(artifact.head(8))
    size = artifact.path.stat().st_size
    with artifact.path.open("rb") as file:
        if magic is None:
            yield file, size
        else:
            raw = _Unpacked(file, size, COMPRESSIONS[magic](), artifact.limits)
            yield cast(BinaryIO, io.BufferedReader(raw, _BUFFER_BYTES)), None
