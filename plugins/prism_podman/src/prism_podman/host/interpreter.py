"""What a Python says of itself: its version, its files and its C library.

Asked in a process of its own that imports no packages, so that any interpreter can be asked: this
one, another version, one within a container. A virtual environment answers for the one below it.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import attrs

from prism_core.plugin import EnvironmentFailed

# No file of ours: it is also what a container is told to run.
PROGRAM = """
import json, os, platform, sys, sysconfig
paths = sysconfig.get_paths()
print(json.dumps({
    "executable": os.path.realpath(getattr(sys, "_base_executable", "") or sys.executable),
    "version": platform.python_version(),
    "implementation": platform.python_implementation(),
    "prefix": sys.base_prefix,
    "library": sys.platlibdir,
    "stdlib": paths["stdlib"],
    "extensions": os.path.join(paths["platstdlib"], "lib-dynload"),
    "libc": "-".join(platform.libc_ver()),
    "system": sys.platform,
}))
"""
ARGUMENTS = ("-I", "-S", "-c", PROGRAM)
ANSWER_S = 60


@attrs.frozen
class Interpreter:
    """A Python and where its parts are.

    ``library`` is what the directory above its standard library is called, ``lib`` or ``lib64``;
    ``libc`` is ``glibc-2.36``, "-" where that is not known.
    """

    executable: Path
    version: str
    implementation: str
    prefix: Path
    library: str
    stdlib: Path
    extensions: Path
    libc: str
    system: str

    @property
    def minor(self) -> str:
        """Its version as far as compiled packages depend on it: ``3.11``."""
        return minor_of(self.version)


def minor_of(version: str) -> str:
    """Return ``3.11`` of ``3.11.7`` and of ``3.11``."""
    return ".".join(version.split(".")[:2])


def interpreter_of(answer: str) -> Interpreter:
    """Read what `PROGRAM` printed."""
    said = json.loads(answer)
    paths = {name: Path(said[name]) for name in ("executable", "prefix", "stdlib", "extensions")}
    return Interpreter(**(said | paths))


def ask(python: Path) -> Interpreter:
    """Return what the interpreter at ``python`` is.

    Raises
    ------
    EnvironmentFailed
        If it is none, or one of which no base image can be made.
    """
    try:
        answer = subprocess.run(
            [python, *ARGUMENTS], capture_output=True, text=True, check=True, timeout=ANSWER_S
        )
        found = interpreter_of(answer.stdout)
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError) as error:
        raise EnvironmentFailed(
            f"{python} does not answer as a Python does: {_said(error)}", hint="Name another with --python."
        ) from error
    return found


def check_usable(found: Interpreter) -> None:
    """Raise `EnvironmentFailed` where no base image can be made of an interpreter."""
    hint = "Use `plugins.podman.base_image`, or `prism podman base --from-debootstrap`."
    if found.system != "linux":
        raise EnvironmentFailed(f"This is {found.system}; containers need a Python for Linux.", hint=hint)
    if not re.fullmatch(r"glibc-[0-9.]+", found.libc):
        raise EnvironmentFailed(
            f"{found.executable} uses another C library than glibc, which wheels are made for.", hint=hint
        )
    if found.implementation != "CPython":
        raise EnvironmentFailed(f"{found.executable} is {found.implementation}, not CPython.", hint=hint)


def _said(error: Exception) -> str:
    lines = (getattr(error, "stderr", "") or "").strip().splitlines()
    return lines[-1] if lines else str(error)
