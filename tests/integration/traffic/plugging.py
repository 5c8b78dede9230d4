"""A plugin beside the tests, installed where a server that is started finds it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def installed(directory: Path, name: str) -> Iterator[None]:
    """Install ``prism_{name}.py`` below a directory, for whatever is started meanwhile."""
    site = directory / "site"
    info = site / f"prism_{name}-1.0.dist-info"
    info.mkdir(parents=True)
    shutil.copy(Path(__file__).with_name(f"prism_{name}.py"), site)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: prism-{name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[prism]\n{name} = prism_{name}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(site))
        yield
