"""Tell what a file is from its first bytes, without executing anything of it.

Runs in the gateway on hostile bytes: reads and decompresses no more than `PREFIX_BYTES`.
"""

from __future__ import annotations

import bz2
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable

from prism_core.plugin import Artifact

PREFIX_BYTES = 1 << 16
# An lzma header may ask for a dictionary of 4 GB.
_LZMA_MEMORY_BYTES = 1 << 27

SUFFIXES = (".pkl", ".pickle", ".joblib", ".skops")

# Protocols 2 to 5 begin with PROTO; an object of protocol 0 or 1 begins with a GLOBAL.
_PICKLE = re.compile(rb"\x80[\x02-\x05]|c[\w.]+\r?\n[\w.]+\r?\n")
# Containers of protocol 0 and 1: not models, but ours to refuse with a reason.
_OLD_CONTAINER = re.compile(rb"\((?:dp|lp|l|d|i)\w*\n|[\]\}]q\x00")


def _inflate(data: bytes) -> bytes:
    return zlib.decompressobj(wbits=47).decompress(data, PREFIX_BYTES)


def _bunzip(data: bytes) -> bytes:
    return bz2.BZ2Decompressor().decompress(data, PREFIX_BYTES)


def _unlzma(data: bytes) -> bytes:
    return lzma.LZMADecompressor(memlimit=_LZMA_MEMORY_BYTES).decompress(data, PREFIX_BYTES)


def _unlz4(data: bytes) -> bytes:
    from lz4.frame import LZ4FrameDecompressor

    return bytes(LZ4FrameDecompressor().decompress(data, PREFIX_BYTES))


# joblib's compressions by magic number: zlib, gzip, bz2, xz, lzma, lz4.
_COMPRESSIONS: dict[bytes, Callable[[bytes], bytes]] = {
    b"\x78": _inflate,
    b"\x1f\x8b": _inflate,
    b"BZh": _bunzip,
    b"\xfd7zXZ\x00": _unlzma,
    b"\x5d\x00": _unlzma,
    b"\x04\x22\x4d\x18": _unlz4,
}


def compression_of(head: bytes) -> bytes | None:
    """Return the magic number of a compression that joblib writes, or None."""
    return next((magic for magic in _COMPRESSIONS if head.startswith(magic)), None)


def opening(artifact: Artifact) -> bytes:
    """Return up to `PREFIX_BYTES` of the content, decompressed; b"" where that fails."""
    raw = artifact.head(PREFIX_BYTES)
    magic = compression_of(raw)
    if magic is None:
        return raw
    try:
        return _COMPRESSIONS[magic](raw)
    except Exception:  # each library has its own errors for damaged data, and lz4 may be absent
        return b""


def looks_pickled(opening: bytes) -> bool:
    """Tell whether the content begins as a pickle of any protocol does."""
    return bool(_PICKLE.match(opening) or _OLD_CONTAINER.match(opening))


def is_skops(artifact: Artifact) -> bool:
    """Tell whether the file is a zip with skops's ``schema.json``."""
    return b"__loader__" in _schema(artifact)


def _schema(artifact: Artifact) -> bytes:
    if artifact.head(4) != b"PK\x03\x04":
        return b""
    try:
        with zipfile.ZipFile(artifact.path) as archive, archive.open("schema.json") as schema:
            return schema.read(PREFIX_BYTES)
    except (KeyError, OSError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error):
        return b""


def recognises(artifact: Artifact) -> float:
    """Return how sure it is that scikit-learn made the file: 0.0 to 1.0."""
    if artifact.path.is_dir():
        return 0.0
    if is_skops(artifact):
        return 0.95
    ours = artifact.suffix in SUFFIXES
    content = opening(artifact)
    if looks_pickled(content):
        return 0.9 if b"sklearn" in content else 0.5 if ours else 0.4
    # A damaged file under our suffix: loading it says what is wrong.
    return 0.05 if ours else 0.0
