"""Find the Python that an environment is made with: the server's own where it fits."""

from __future__ import annotations

import asyncio
import os
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import attrs

from prism_core.environments.needs import fits
from prism_core.environments.said import no_python
from prism_core.environments.uv import Uv

ASKED = "import platform, sys; print(platform.python_version(), sys.implementation.name, sys.executable)"


@attrs.frozen
class Interpreter:
    """A Python: its path and its version, ``3.11.7``."""

    path: str
    version: str

    @property
    def minor(self) -> str:
        """The version that decides which wheels fit: ``3.11``."""
        return ".".join(self.version.split(".")[:2])


def own() -> Interpreter:
    """Return the interpreter of the server."""
    return Interpreter(sys.executable, platform.python_version())


async def interpreter(uv: Uv, wanted: str) -> Interpreter:
    """Return a Python that is ``wanted``: ``3.12``, ``>=3.11,<3.13`` or "" for the server's.

    uv may download one.

    Raises
    ------
        If there is none.
    """
    if fits(wanted, own().version):
        return own()
    if found := await asyncio.to_thread(_of_pyenv, wanted):
        return found
    # An environment is made only to have uv look for an interpreter, and download one if it may.
    with tempfile.TemporaryDirectory(prefix="prism-python-") as scratch:
        outcome = await uv.run("venv", "--no-project", "--python", wanted, f"{scratch}/venv")
        if outcome.code:
            raise no_python(wanted, outcome.said)
        link = Path(scratch, "venv", "bin", "python")
        found = await asyncio.to_thread(_asked, link.resolve())
    if found is None:
        raise no_python(wanted, outcome.said)
    return found


def _of_pyenv(wanted: str) -> Interpreter | None:
    """Return a fitting Python of pyenv's, whose own stand-ins on the PATH refuse all but the chosen ones."""
    root = Path(os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv"))
    versions = [path.parent.parent for path in root.glob("versions/3.*/bin/python")]
    fitting = [
        path for path in versions if re.fullmatch(r"3\.\d+\.\d+", path.name) and fits(wanted, path.name)
    ]
    for path in sorted(fitting, key=lambda p: tuple(map(int, p.name.split("."))), reverse=True):
        if found := _asked(path / "bin" / "python"):
            return found
    return None


def _asked(path: Path) -> Interpreter | None:
    """Return what a Python says of itself, None where it does not answer."""
    try:
        done = subprocess.run(
            [str(path), "-I", "-S", "-c", ASKED], capture_output=True, text=True, timeout=30, check=True
        )
        version, implementation, executable = done.stdout.strip().split(" ", 2)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return Interpreter(executable, version) if implementation == "cpython" else None
