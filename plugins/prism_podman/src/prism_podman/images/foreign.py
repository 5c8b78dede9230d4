"""The packages of an environment for another machine: Linux, where this one is none, or another processor.

An environment of macOS or Windows holds packages that no container can run. The same versions are
fetched once more, by uv and from wheels alone, as they are for the Linux of the base image.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from pathlib import Path

from prism_core.plugin import Environment, EnvironmentFailed
from prism_podman.host.interpreter import minor_of
from prism_podman.images.bases import Base, libc_version

# What OCI calls processors, and what wheels do.
PROCESSORS = {"amd64": "x86_64", "arm64": "aarch64"}
# The versions of glibc that uv knows as targets.
TARGETS = (17, 28, *range(31, 41))
LAST_LINES = 4


def is_foreign(base: Base) -> bool:
    """Tell whether this machine's packages cannot run on a base."""
    processor = PROCESSORS.get(base.beneath.architecture, base.beneath.architecture)
    return sys.platform != "linux" or platform.machine() != processor


def target_of(base: Base) -> str:
    """Return what uv calls the platform of a base.

    Raises
    ------
    EnvironmentFailed
        If wheels are made for no such platform.
    """
    processor, libc = PROCESSORS.get(base.beneath.architecture), libc_version(base.libc)
    fitting = [minor for minor in TARGETS if libc and (2, minor) <= libc]
    if processor is None or not fitting:
        raise EnvironmentFailed(
            f"No wheels are made for {base.beneath.architecture} with {base.libc}, which {base.name} has.",
            hint="Choose another base in `plugins.podman.base_image`, with glibc, for amd64 or arm64.",
        )
    return f"{processor}-manylinux_2_{fitting[-1]}"


def installed(environment: Environment, base: Base, directory: Path) -> Path:
    """Install the packages of an environment for a base below ``directory``; return where they are.

    Raises
    ------
    EnvironmentFailed
        With what uv says.
    """
    wanted, site = directory / "wanted.txt", directory / "site"
    wanted.write_text("".join(f"{pin.name}=={pin.version}\n" for pin in environment.pins if not pin.wheel))
    command = [
        *(_uv(), "pip", "install", "--quiet", "--no-deps", "--no-build"),
        *("--target", str(site), "--python-version", minor_of(environment.python_version)),
        *("--python-platform", target_of(base), "--requirements", str(wanted)),
    ]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        said = " / ".join(done.stderr.strip().splitlines()[-LAST_LINES:])
        raise EnvironmentFailed(
            f"The packages of environment {environment.key!r} cannot be had for {target_of(base)}: {said}",
            hint="Upload the model again with versions that have wheels for Linux, by --requirements.",
        )
    return site


def _uv() -> str:
    try:
        from uv import find_uv_bin

        return str(find_uv_bin())
    except (ImportError, FileNotFoundError):
        found = shutil.which("uv")
    if found:
        return found
    raise EnvironmentFailed("uv, which fetches packages for Linux, is not here.", hint="pip install uv")
