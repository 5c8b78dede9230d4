"""Run `packing` by the interpreter whose files are packed, and take its tar in parts or into a file."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prism_core.plugin import EnvironmentFailed
from prism_podman.images import packing
from prism_podman.images.oci import Blob
from prism_podman.images.packing import Entry

CHUNK_BYTES = 1 << 20


def spooled(title: str, entries: Iterable[Entry], python: str, owner: int, path: Path) -> Blob:
    """Write the tar of a layer to ``path``."""
    digest, size = hashlib.sha256(), 0
    with path.open("wb") as file, packed(entries, python, owner) as parts:
        for part in parts:
            digest.update(part)
            size += file.write(part)
    return Blob(title, f"sha256:{digest.hexdigest()}", path, size)


def scratch_place() -> Path | None:
    """Return where large files are put: not in memory, where /tmp often is; None for as usual."""
    place = Path("/var/tmp")
    return place if "TMPDIR" not in os.environ and os.access(place, os.W_OK) else None


@contextmanager
def packed(
    entries: Iterable[Entry], python: str = sys.executable, owner: int = 0
) -> Iterator[Iterator[bytes]]:
    """Give the tar of ``entries`` in parts, as a process of ``python`` writes it."""
    with tempfile.TemporaryFile() as lines, tempfile.TemporaryFile() as words:
        lines.writelines(packing.to_lines(entries))
        lines.seek(0)
        command = [python, "-I", "-S", str(Path(packing.__file__)), str(owner)]
        with subprocess.Popen(command, stdin=lines, stdout=subprocess.PIPE, stderr=words) as process:
            try:
                yield _parts(process, words)
            finally:
                process.kill()


def _parts(process: subprocess.Popen[bytes], words: Any) -> Iterator[bytes]:
    assert process.stdout is not None
    while part := process.stdout.read(CHUNK_BYTES):
        yield part
    if process.wait():
        words.seek(0)
        last = words.read().decode(errors="replace").strip().splitlines()[-1:]
        raise EnvironmentFailed(f"The files of the image could not be read: {' '.join(last)}")
