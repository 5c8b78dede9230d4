"""Compile what was installed, once for all environments that have the same file.

Compiling takes longer than all else of a build, and its outcome most of the space that an environment has
of its own. Sources are shared by hard links; so is what comes of them. Packages' tests are left out.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import attrs

from prism_core.environments.uv import Uv

# Without `site`: an environment's .pth files are code of its packages, and nothing of these runs here.
# Nicely: predictions go first. What cannot be compiled, a template for instance, is not imported either.
_COMPILE = """
import compileall, os, py_compile, re, sys
os.nice(10)
timestamp = py_compile.PycInvalidationMode.TIMESTAMP
skipped = re.compile(r"[/\\\\]tests[/\\\\]")
compileall.compile_dir(sys.argv[1], quiet=2, workers=0, rx=skipped, invalidation_mode=timestamp)
"""


async def compile_all(uv: Uv, python: str, site: Path) -> None:
    """Compile what lies in ``site`` and is not compiled yet, by ``python``; runs as uv does."""
    await attrs.evolve(uv, path=python).run("-I", "-S", "-c", _COMPILE, str(site))


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
