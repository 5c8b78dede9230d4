"""Tell what a file is from its first bytes, without executing anything of it.

Runs in the gateway on hostile bytes: reads and decompresses no more than `PREFIX_BYTES`.
"""

from __future__ import annotations

import re
import zipfile

from prism_core.plugin import Artifact
from prism_sklearn.directories import file_of
from prism_sklearn.unpacking import COMPRESSIONS, compression_of

PREFIX_BYTES = 1 << 16

SUFFIXES = (".pkl", ".pickle", ".joblib", ".skops")

# Protocols 2 to 5 begin with PROTO; an object of protocol 0 or 1 begins with a GLOBAL.
_PICKLE = re.compile(rb"\x80[\x02-\x05]|c[\w.]+\r?\n[\w.]+\r?\n")
# Containers of protocol 0 and 1: not models, but ours to refuse with a reason.
_OLD_CONTAINER = re.compile(rb"\((?:dp|lp|l|d|i)\w*\n|[\]\}]q\x00")


def opening(artifact: Artifact) -> bytes:
    """Return up to `PREFIX_BYTES` of the content, decompressed; b"" where that fails."""
    raw = artifact.head(PREFIX_BYTES)
    magic = compression_of(raw)
    if magic is None:
        return raw
    try:
        return bytes(COMPRESSIONS[magic]().decompress(raw, PREFIX_BYTES))
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
    except Exception:  # zipfile has a dozen errors for damaged files, EOFError and struct.error among them
        return b""


def recognises(artifact: Artifact) -> float:
    """Return how sure it is that scikit-learn made the file: 0.0 to 1.0."""
    artifact = file_of(artifact)
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
