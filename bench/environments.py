"""Each peer's own virtual environment, made by uv under ``.cache/bench/`` from its requirements."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs

HERE = Path(__file__).parent
CACHE = HERE.parent / ".cache" / "bench"
UV = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
# Triton's stub for Python 3.11 is linked with an early 3.11 and takes its standard library from the
# environment: that of 3.11.7 asks for a method of locks which the stub does not have. Debian's is 3.11.2.
INTERPRETERS = {"pytriton": "/usr/bin/python3.11"}


@attrs.frozen
class Installed:
    """What one gets by installing a server: its version, megabytes on disk, number of packages."""

    version: str
    size_mb: float
    packages: int


def python(peer: str) -> Path:
    """Return the interpreter of a peer's environment."""
    return CACHE / peer / "bin" / "python"


class NotInstalled(Exception):
    """An environment could not be made; uv's own words are in the message."""


def ensure(peer: str) -> None:
    """Make a peer's environment, or make it anew where its requirements have changed."""
    # As pip does it: how long a server takes to start is measured.
    make(CACHE / peer, requirements_of(peer), interpreter(peer), "--compile-bytecode")


def requirements_of(peer: str) -> Path:
    """Return the pinned packages of a peer."""
    return HERE / "peers" / peer / "requirements.txt"


def make(place: Path, requirements: Path, chosen: str = sys.executable, *options: str) -> None:
    """Make an environment of pinned packages; of many processes that want it at once, one makes it."""
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()
    stamp = place / "requirements.sha256"
    with alone(place):
        if stamp.exists() and stamp.read_text() == digest:
            return
        print(f"Installing {place.name} ...", file=sys.stderr, flush=True)
        uv("venv", "-q", "--clear", "--python", chosen, place)
        uv("pip", "install", "-q", *options, "-p", place, "-r", requirements)
        stamp.write_text(digest)


@contextlib.contextmanager
def alone(place: Path) -> Iterator[None]:
    """Keep other processes from what is made at ``place`` meanwhile; a process that ends lets go."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.with_name(f"{place.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def uv(*words: object) -> None:
    """Run uv."""
    done = subprocess.run([UV, *map(str, words)], stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        hint = "Packages come from the index that uv is set up with: is there a network?"
        raise NotInstalled(f"`uv {' '.join(map(str, words))}` failed. {hint}\n{done.stderr}")


def interpreter(peer: str) -> str:
    """Return the Python that a peer's environment is made from."""
    wanted = INTERPRETERS.get(peer, "")
    return wanted if os.path.exists(wanted) else sys.executable


def installed_prism() -> Installed:
    """Install what ``pip install`` of the server and its two plugins brings, and measure it."""
    root, place = HERE.parent, CACHE / "prism"
    subprocess.run([UV, "venv", "-q", "--clear", "--python", sys.executable, place], check=True)
    parts = [f"{root}[server]", root / "plugins" / "prism_sklearn", root / "plugins" / "prism_onnx"]
    install = [UV, "pip", "install", "-q", "--compile-bytecode", "-p", place]
    constraints = ["-c", root / "constraints.txt", "-b", root / "constraints.txt"]
    subprocess.run([*install, *constraints, *parts], check=True)
    return measured(place, "prism-core")


def installed(peer: str, package: str) -> Installed:
    """Measure a peer's environment."""
    return measured(CACHE / peer, package)


def measured(environment: Path, package: str) -> Installed:
    """Measure any environment: files as they lie on the disk, hard links counted once."""
    (site,) = environment.glob("lib/python3*/site-packages")
    packages = {path.name.split("-")[0].lower(): path.name for path in site.glob("*.dist-info")}
    name = packages[package.replace("-", "_").lower()]
    return Installed(name.removesuffix(".dist-info").split("-")[1], size_mb(site), len(packages))


def size_mb(directory: Path) -> float:
    """Return the size of all files, compiled modules included: Python writes them at the first start."""
    sizes = {}
    for folder, _, files in os.walk(directory):
        for file in files:
            stat = os.lstat(os.path.join(folder, file))
            sizes[stat.st_ino] = stat.st_blocks * 512
    return sum(sizes.values()) / 2**20
