"""Which files a replica sees: the system's libraries, its environment, its model, and no others.

Pure apart from `listing`, `interpreter_of` and `imported`, which look at directories and at this interpreter.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import attrs

# Libraries, time zones, certificates, fonts: what is the same on every machine, and no secret.
SYSTEM = (
    *("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/nix/store", "/gnu/store"),
    *("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives", "/etc/localtime"),
    *("/etc/timezone", "/etc/mime.types", "/etc/ssl/certs", "/etc/ca-certificates", "/etc/fonts"),
    *("/sys/devices/system/cpu", "/sys/devices/system/node"),
)
DEVICES = ("/dev/null", "/dev/full", "/dev/random", "/dev/urandom")
# Where no mount hides the rest of /proc. `self` is what it means when the rule is made.
PROCESS = (
    *("/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/loadavg", "/proc/uptime"),
    *("/proc/version", "/proc/filesystems", "/proc/sys/kernel/osrelease", "/proc/sys/vm"),
)
# Below a directory that is searched for modules these are taken for modules.
_MODULE_SUFFIXES = (".py", ".pyc", ".so")
_METADATA_SUFFIXES = (".dist-info", ".egg-info")


@attrs.frozen
class View:
    """What a replica may read, and what it may also write."""

    read: tuple[str, ...]
    write: tuple[str, ...] = ()


def beneath(path: str, directory: str) -> bool:
    """Tell whether ``path`` is ``directory`` or lies somewhere in it."""
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def outermost(paths: Iterable[str]) -> tuple[str, ...]:
    """Return the paths without those that lie in another one, each once and in order."""
    kept: list[str] = []
    for path in sorted(set(paths)):
        # Sorted, a directory comes before what lies in it, though others may come between.
        if not any(beneath(path, one) for one in kept):
            kept.append(path)
    return tuple(kept)


def without(path: str, hidden: Sequence[str], listing: Callable[[str], Iterable[str]]) -> tuple[str, ...]:
    """Return ``path``, or parts of it that together are all of it but ``hidden``."""
    if any(beneath(path, one) for one in hidden):
        return ()
    if not any(beneath(one, path) for one in hidden):
        return (path,)
    return tuple(part for child in listing(path) for part in without(child, hidden, listing))


def listing(directory: str) -> list[str]:
    """Return the paths in a directory, but no symbolic link: it could lead back to what is hidden."""
    try:
        with os.scandir(directory) as entries:
            return [entry.path for entry in entries if not entry.is_symlink()]
    except OSError:
        return []


def importable(path: str) -> bool:
    """Tell whether the search for modules could want ``path``, by its name."""
    name = os.path.basename(path)
    return name.isidentifier() or name.endswith(_MODULE_SUFFIXES + _METADATA_SUFFIXES)


def environment(
    prefixes: Iterable[str],
    search: Iterable[str],
    modules: Iterable[str],
    home: str,
    listing: Callable[[str], Iterable[str]],
) -> tuple[str, ...]:
    """Return the paths of an environment.

    Parameters
    ----------
    prefixes
        Directories that are nothing but the environment: seen whole.
    search
        Directories that are searched for modules, perhaps among other things: of one
        outside the prefixes only what could be a module is seen, and nothing of one that
        holds ``home`` but what has been imported from it.
    modules
        Files of imported modules.
    """
    whole = outermost(prefixes)
    found = list(whole)
    for directory in search:
        inside = any(beneath(directory, one) for one in whole)
        if not inside and not beneath(home, directory):
            found += filter(importable, listing(directory))
    for module in modules:
        if not any(beneath(module, one) for one in found):
            found.append(os.path.dirname(module) if os.path.basename(module) == "__init__.py" else module)
    return outermost(found)


def libraries(variables: Mapping[str, str]) -> tuple[str, ...]:
    """Return where the loader of libraries is told to look."""
    return tuple(path for path in variables.get("LD_LIBRARY_PATH", "").split(":") if path.startswith("/"))


def interpreter_of(root: str) -> tuple[str, ...]:
    """Return the paths of a virtual environment: its own, and those of the Python that it was made from."""
    python = Path(root, "bin", "python")
    found = [root]
    while python.is_symlink():  # each link is followed by name, as the interpreter looks for its home
        python = Path(os.path.normpath(python.parent / python.readlink()))
        found.append(str(python.parent.parent))
    return outermost((*found, str(Path(root, "bin", "python").resolve().parent.parent)))


def imported() -> tuple[str, ...]:
    """Return the paths of this interpreter's environment, as far as it has been used."""
    prefixes = {sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix}
    files = (getattr(module, "__file__", None) for module in tuple(sys.modules.values()))
    return environment(
        (*SYSTEM, *prefixes, *libraries(os.environ)),
        [path for path in sys.path if path.startswith("/")],
        [file for file in files if file and file.startswith("/")],
        str(Path.home()),
        listing,
    )


def view(
    environment: Iterable[str], private: Sequence[str], own: Iterable[str], write: Iterable[str]
) -> View:
    """Return what one replica sees.

    Parameters
    ----------
    private
        The server's directories: nothing in them is seen but ``own`` and ``write``.
    own
        The replica's artifact and directory.
    """
    seen = (part for path in environment for part in without(path, private, listing))
    return View(outermost((*seen, *own)), tuple(write))
