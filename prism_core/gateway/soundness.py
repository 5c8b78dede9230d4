"""Is a stored artifact still what was uploaded? Found out once, and again only after it was touched.

Hashing takes half a second a gigabyte, which a replica that is started again need not wait
for: what a file system says about a file (size, times, inode) tells whether anybody has
written it since. A disk that changes bytes by itself is noticed at the next start of the
server, when nothing is known yet.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from prism_core.errors import ArtifactDamaged
from prism_core.gateway.digests import digest_of

# Name, size, times in nanoseconds and inode of each file.
Marks = tuple[tuple[str, int, int, int, int], ...]


class Soundness:
    """Which artifacts have been found whole."""

    def __init__(self) -> None:
        self._whole: dict[Path, Marks] = {}

    async def check(self, path: Path, digest: str) -> None:
        """Return if the artifact at ``path`` has ``digest``.

        Raises
        ------
        ArtifactDamaged
            If it has not, or is gone.
        """
        if not self.known(path):
            await asyncio.to_thread(self._check, path, digest)

    def known(self, path: Path) -> bool:
        """Return whether it was found whole and nobody has touched it since."""
        return path in self._whole and self._whole[path] == marks_of(path)

    def forget(self, path: Path) -> None:
        """Forget an artifact that has been removed."""
        self._whole.pop(path, None)

    def remember(self, path: Path) -> None:
        """Take note of an artifact whose digest was computed a moment ago."""
        self._whole[path] = marks_of(path)

    def _check(self, path: Path, digest: str) -> None:
        marks = marks_of(path)  # before it is read: what is written meanwhile is noticed the next time
        try:
            found = digest_of(path)[0] if marks else "nothing"
        except OSError as error:
            found = error.strerror or "an error"
        if found != digest:
            self._whole.pop(path, None)
            raise ArtifactDamaged(
                f"The stored artifact {digest} is damaged: what lies there is {found}.",
                hint="Upload the same file again: it takes the place of the damaged one.",
            )
        self._whole[path] = marks


def marks_of(path: Path) -> Marks:
    """Return what the file system says about a file, or all files below a directory; () if it is gone."""
    files = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
    try:
        stats = [(str(one.relative_to(path)), one.stat()) for one in files]
    except OSError:
        return ()
    return tuple((name, s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino) for name, s in stats)
