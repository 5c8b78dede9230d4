"""Share compiled files between environments, as their sources are shared by hard links.

Compiling takes longer than all else of a build, and its outcome as much space as the rest has of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path


def share(site: Path, others: Iterable[Path], python_version: str) -> int:
    """Link what ``others`` have compiled of sources that ``site`` has too; return how many files.

    Parameters
    ----------
    site, others
        Directories of packages.
    python_version
        Of the Python of ``site``: another one's compiled files are of no use.
    """
    tag = f"cpython-{''.join(python_version.split('.')[:2])}"
    device = site.stat().st_dev
    lacking = dict(_sources(site))
    linked = 0
    for other in others:
        if lacking and other.is_dir() and other.stat().st_dev == device:
            same = [(path, lacking.pop(inode)) for inode, path in _sources(other) if inode in lacking]
            linked += sum(_linked(Path(source), Path(target), tag) for source, target in same)
    return linked


def _sources(directory: str | Path) -> Iterator[tuple[int, str]]:
    """Yield the inode and the path of each module below ``directory``."""
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _sources(entry.path)
            elif entry.name.endswith(".py") and entry.is_file(follow_symlinks=False):
                yield entry.inode(), entry.path


def _linked(source: Path, target: Path, tag: str) -> bool:
    compiled = f"__pycache__/{source.stem}.{tag}.pyc"
    try:
        (target.parent / "__pycache__").mkdir(exist_ok=True)
        os.link(source.parent / compiled, target.parent / f"__pycache__/{target.stem}.{tag}.pyc")
    except OSError:  # it was not compiled, is being removed, or has as many links as there may be
        return False
    return True
