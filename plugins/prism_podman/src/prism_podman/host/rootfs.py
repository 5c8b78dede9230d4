"""The root file system of a base image: an interpreter under /usr/local, its libraries, and little else."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from prism_podman.host.interpreter import Interpreter
from prism_podman.host.libraries import needed, placed, programs_among
from prism_podman.images.packing import Entry

# Where official images of Python have it too; an interpreter finds its files from where it lies.
PREFIX = "/usr/local"
USER = 10001
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
# Distributions keep them in one of these.
CERTIFICATE_FILES = (
    CERTIFICATES,
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
ZONES = Path("/usr/share/zoneinfo")

# Nothing that a model calls: tests, editors, installers, and what is compiled against.
SKIPPED_DIRECTORIES = re.compile(
    r"__pycache__|test|tests|idlelib|turtledemo|tkinter|ensurepip|lib2to3|config-.*|site-packages|dist-packages"
)
# What this machine has changed of its Python, and extensions without their half in Python.
SKIPPED_FILES = re.compile(
    r"(site|user)customize\.py|_tkinter.*|_test.*|_ctypes_test.*|_xx.*|xx.*|turtle\.py|.*\.pyc|.*\.a|EXTERNALLY-MANAGED"
)

PASSWD = f"""\
root:x:0:0:root:/tmp:/sbin/nologin
prism:x:{USER}:{USER}:prism:/tmp:/sbin/nologin
nobody:x:65534:65534:nobody:/tmp:/sbin/nologin
"""
GROUP = f"root:x:0:\nprism:x:{USER}:\nnogroup:x:65534:\n"
NSSWITCH = "passwd: files\ngroup: files\nhosts: files dns\n"

VARIABLES = {"PATH": f"{PREFIX}/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "SSL_CERT_FILE": CERTIFICATES}


def python_of(found: Interpreter) -> str:
    """Return the interpreter's path in the image."""
    return f"{PREFIX}/bin/python{found.minor}"


def entries(found: Interpreter) -> Iterator[Entry]:
    """Yield everything of a base image made of an interpreter of this machine."""
    standard = list(standard_library(found))
    programs = programs_among([found.executable, *(Path(entry.source) for entry in standard)])
    yield from skeleton()
    yield from executables(found)
    yield from standard
    yield from libraries(placed(needed(programs)))
    yield from certificates()
    yield from zones(ZONES)


def skeleton() -> Iterator[Entry]:
    """Yield the directories that a container expects, and who there is."""
    for name in ("dev", "etc", "home", "proc", "run", "sys", "root", "usr", "usr/local", "var"):
        yield Entry(name)
    for name in ("tmp", "var/tmp"):
        yield Entry(name, mode=0o1777)
    yield Entry("etc/passwd", text=PASSWD)
    yield Entry("etc/group", text=GROUP)
    yield Entry("etc/nsswitch.conf", text=NSSWITCH)


def executables(found: Interpreter) -> Iterator[Entry]:
    """Yield the interpreter and its short names."""
    name = f"python{found.minor}"
    yield Entry(f"{PREFIX}/bin/{name}", source=str(found.executable), mode=0o755)
    for short in ("python3", "python"):
        yield Entry(f"{PREFIX}/bin/{short}", link=name)


def standard_library(found: Interpreter) -> Iterator[Entry]:
    """Yield the standard library, compiled, with its extensions."""
    home = f"{PREFIX}/{found.library}/python{found.minor}"
    yield from _tree(found.stdlib, home, found.prefix)
    if found.extensions.parent != found.stdlib:  # Fedora keeps them apart under some settings
        yield from _tree(found.extensions, f"{home}/lib-dynload", found.prefix)


def _tree(top: Path, home: str, prefix: Path) -> Iterator[Entry]:
    for directory, below, names in os.walk(top):
        below[:] = sorted(name for name in below if not SKIPPED_DIRECTORIES.fullmatch(name))
        for name in sorted(names):
            source = Path(directory, name)
            if SKIPPED_FILES.fullmatch(name) or not source.is_file():
                continue
            place = f"{home}/{source.relative_to(top).as_posix()}"
            yield Entry(place, source=str(source), shown=place, replace=_relocated(name, prefix))


def _relocated(name: str, prefix: Path) -> tuple[tuple[str, str], ...]:
    """Return what is to be written otherwise: the build's notes name the home of whoever built it."""
    told = name.startswith("_sysconfigdata") and str(prefix) not in ("/usr", PREFIX)
    return ((str(prefix), PREFIX),) if told else ()


def libraries(places: Mapping[str, Path]) -> Iterator[Entry]:
    """Yield shared libraries, each under the name that is asked for."""
    for place, path in sorted(places.items()):
        yield Entry(place, source=str(path), mode=0o755)


def certificates(files: Iterable[str] = CERTIFICATE_FILES) -> Iterator[Entry]:
    """Yield the authorities that this machine trusts, for images that are to ask others."""
    there = next((file for file in files if Path(file).is_file()), None)
    if there:
        yield Entry(CERTIFICATES, source=there, mode=0o644)


def zones(top: Path) -> Iterator[Entry]:
    """Yield the time zones, once: not in their other countings of leap seconds."""
    for directory, below, names in os.walk(top):
        below[:] = sorted(name for name in below if name not in ("right", "posix"))
        for name in sorted(names):
            source = Path(directory, name)
            if name != "localtime" and source.is_file():
                yield Entry(f"/usr/share/zoneinfo/{source.relative_to(top)}", source=str(source), mode=0o644)
