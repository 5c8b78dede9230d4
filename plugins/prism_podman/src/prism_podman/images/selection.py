"""Which files an image gets of an environment: those that its pins installed, and nothing else.

An interpreter may have much more beside: a server's own packages, tools, a checkout. What is
taken of a package is what its RECORD lists inside of the packages' directory.
"""

from __future__ import annotations

import hashlib
import re
import sys
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from email import message_from_string
from importlib.metadata import Distribution
from pathlib import Path, PurePosixPath

import attrs

from prism_core.plugin import Environment, EnvironmentFailed, Pin
from prism_podman.images.packing import Entry

# Where packages lie in an image; PYTHONPATH leads there, before what a base may have of its own.
SITE = "/opt/prism/site"
SERVER = "server"
# What tells of an installation on this machine, its paths among that, and not of a package.
LEFT_OUT = {"INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json", "uv_build.json"}


@attrs.frozen
class Package:
    """The files of one pin.

    Parameters
    ----------
    files
        With names relative to the packages' directory.
    requires
        Normalized names of what it asks for, also for extras that nobody wanted.
    platforms
        For each tag of its wheel the platforms, ``manylinux_2_17_x86_64``; "any" is left out.
    digest
        That of its wheel, for PRISM's own, which this server made; "" for all others.
    """

    name: str
    version: str
    files: tuple[Entry, ...]
    size_bytes: int
    requires: frozenset[str] = frozenset()
    platforms: frozenset[str] = frozenset()
    digest: str = ""

    @property
    def own(self) -> bool:
        """Whether it is PRISM's."""
        return bool(self.digest)


def selected(environment: Environment, search: Sequence[str] | None = None) -> list[Package]:
    """Return the packages of an environment's pins.

    Parameters
    ----------
    search
        Directories of packages; None for those of the environment's interpreter.

    Raises
    ------
    EnvironmentFailed
        If one of them is not installed there, or nobody knows its files.
    """
    places = search or searched(environment)
    return [_of_wheel(pin) if pin.wheel else _installed(pin, places, environment) for pin in environment.pins]


def searched(environment: Environment) -> list[str]:
    """Return the directories of an environment's packages; its interpreter is not asked."""
    if environment.key == SERVER and environment.python == sys.executable:
        return sys.path
    prefix = Path(environment.python).parent.parent
    return [str(path) for path in sorted(prefix.glob("lib/python3.*/site-packages"))]


def normalized(name: str) -> str:
    """Return a distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def required_names(requirements: Iterable[str]) -> frozenset[str]:
    """Return the names in requirements such as ``numpy>=1.19 ; extra == "tests"``."""
    found = (re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)", one) for one in requirements)
    return frozenset(normalized(match[1]) for match in found if match)


def platforms_of(wheel: str) -> frozenset[str]:
    """Return the platforms that a WHEEL file names, without "any"."""
    tags = re.findall(r"^Tag:\s*\S+?-\S+?-(\S+)\s*$", wheel, re.MULTILINE)
    return frozenset(one for tag in tags for one in tag.split(".") if one != "any")


def _installed(pin: Pin, places: Sequence[str], environment: Environment) -> Package:
    found = next(iter(Distribution.discover(name=pin.name, path=list(places))), None)
    if found is None or found.version != pin.version:
        there = f"there is {found.version}" if found else "it is not there"
        raise EnvironmentFailed(
            f"{pin.name} {pin.version} of environment {environment.key!r} is not installed: {there}.",
            hint="Upload the model again: its environment is then looked at anew.",
        )
    files = tuple(_files(found, pin))
    return Package(
        normalized(pin.name),
        pin.version,
        files,
        sum(Path(entry.source).stat().st_size for entry in files),
        required_names(found.requires or ()),
        platforms_of(found.read_text("WHEEL") or ""),
    )


def _files(found: Distribution, pin: Pin) -> Iterator[Entry]:
    if found.files is None:
        raise EnvironmentFailed(
            f"{pin.name} {pin.version} has no list of its files (RECORD), so no image can be given it.",
            hint=f"Install it from a wheel: pip install --force-reinstall {pin.name}=={pin.version}",
        )
    tests = directories_of_tests(PurePosixPath(file) for file in found.files)
    for file in found.files:
        source, path = Path(str(file.locate())), PurePosixPath(file)
        if is_wanted(path) and tests.isdisjoint(path.parents) and source.is_file():
            yield Entry(path.as_posix(), source=str(source), shown=f"{SITE}/{path.as_posix()}")


def directories_of_tests(files: Iterable[PurePosixPath]) -> set[PurePosixPath]:
    """Return the directories of a package's own tests: two of five files, and nothing that a model calls."""
    return {
        file.parent
        for file in files
        if file.parent.name == "tests" and re.fullmatch(r"test_.*\.py", file.name)
    }


def is_wanted(file: PurePosixPath) -> bool:
    """Tell whether an image gets a file of a package: no programs, nothing compiled, no installer's notes."""
    if file.is_absolute() or ".." in file.parts or "__pycache__" in file.parts:
        return False
    noted = file.name in LEFT_OUT and file.parts[0].endswith(".dist-info")
    # A .pth file has a meaning in an interpreter's own directory alone, and PYTHONPATH leads to SITE.
    return not noted and file.suffix not in (".pyc", ".pth")


def _of_wheel(pin: Pin) -> Package:
    files, size, about = [], 0, {"WHEEL": "", "METADATA": ""}
    with zipfile.ZipFile(pin.wheel) as wheel:
        for info in wheel.infolist():
            path = PurePosixPath(info.filename)
            if info.is_dir() or not is_wanted(path):
                continue
            shown = f"{SITE}/{info.filename}"
            files.append(Entry(info.filename, source=pin.wheel, member=info.filename, shown=shown))
            size += info.file_size
            if path.name in about and path.parts[0].endswith(".dist-info"):
                about[path.name] = wheel.read(info).decode()
    requires = required_names(message_from_string(about["METADATA"]).get_all("Requires-Dist", []))
    platforms = platforms_of(about["WHEEL"])
    digest = wheel_digest(pin.wheel)
    return Package(normalized(pin.name), pin.version, tuple(files), size, requires, platforms, digest)


def wheel_digest(path: str) -> str:
    """Return the digest of a wheel, "" for none."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest() if path else ""
