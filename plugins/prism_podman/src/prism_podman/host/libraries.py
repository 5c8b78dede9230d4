"""Which shared libraries some programs need, and under which names a loader looks for them.

Two questions: what files are linked with (``ldd`` asks the loader itself), and what packages may
open beside that, which no file tells: the libraries that wheels are allowed to expect (PEP 600's
list without a desktop's), found in the loader's own table (``ldconfig -p``).
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from prism_core.plugin import EnvironmentFailed

# The C library's parts are stubs since 2.34, and older wheels ask for them by name. NSS and libgcc_s
# are opened when they are first needed. libgomp is not in the list, but LightGBM's wheel asks for it.
EXPECTED = (
    "libc.so.6",
    "libm.so.6",
    "libdl.so.2",
    "librt.so.1",
    "libpthread.so.0",
    "libutil.so.1",
    "libresolv.so.2",
    "libanl.so.1",
    "libnss_dns.so.2",
    "libnss_files.so.2",
    "libgcc_s.so.1",
    "libstdc++.so.6",
    "libgomp.so.1",
    "libz.so.1",
    "libexpat.so.1",
)
# More would be too long a command line.
AT_ONCE = 100
LDD_S = 120


def needed(programs: Sequence[Path]) -> dict[str, Path]:
    """Return the libraries that ``programs`` need or may expect: the name asked for -> the file.

    The loader itself is among them, under its whole path.

    Raises
    ------
    EnvironmentFailed
        If this machine has not the programs that tell.
    """
    table = parse_ldconfig(_run("ldconfig", "-p"))
    expected = {name: path for name, path in table.items() if name in EXPECTED}
    found = linked([*programs, *expected.values()])
    return expected | found


def linked(files: Sequence[Path]) -> dict[str, Path]:
    """Return what ``files`` are linked with, in all depths."""
    found: dict[str, Path] = {}
    for start in range(0, len(files), AT_ONCE):
        names = [str(path) for path in files[start : start + AT_ONCE]]
        found |= parse_ldd(_run("ldd", *names))
    return found


def parse_ldd(text: str) -> dict[str, Path]:
    """Read what ``ldd`` prints; what is not found on this machine is left out."""
    found = {}
    for line in text.splitlines():
        if match := re.match(r"\s+(\S+) => (/.+) \(0x[0-9a-f]+\)$", line):
            found[match[1]] = Path(match[2])
        elif match := re.match(r"\s+(/\S+) \(0x[0-9a-f]+\)$", line):
            found[match[1]] = Path(match[1])
    return found


def parse_ldconfig(text: str) -> dict[str, Path]:
    """Read what ``ldconfig -p`` prints: for each name the first file of the machine's own kind."""
    entries = re.findall(r"^\s+(\S+) \(([^) ]+?)(?:, [^)]*)?\) => (/.+)$", text, re.MULTILINE)
    kinds = [kind for name, kind, _ in entries if name == "libc.so.6"]
    found: dict[str, Path] = {}
    for name, kind, path in entries:
        if kinds and kind == kinds[0]:
            found.setdefault(name, Path(path))
    return found


def placed(libraries: Mapping[str, Path]) -> dict[str, Path]:
    """Return under which path of an image each library lies.

    All in the directory of the C library: the loader looks there without a table or a variable. The
    loader is named by its whole path in every program, so it lies under that.
    """
    home = libraries["libc.so.6"].parent
    return {str(home / name) if "/" not in name else name: path for name, path in libraries.items()}


def is_program(path: Path) -> bool:
    """Return whether a file is a compiled program or library."""
    try:
        with path.open("rb") as file:
            return file.read(4) == b"\x7fELF"
    except OSError:
        return False


def programs_among(paths: Iterable[Path]) -> list[Path]:
    """Return the compiled ones of some files."""
    return [path for path in paths if is_program(path)]


def _run(name: str, *arguments: str) -> str:
    program = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if program is None:
        raise EnvironmentFailed(
            f"This machine has no {name!r}, which tells what a Python needs.",
            hint="Use `plugins.podman.base_image`, or `prism podman base --from-debootstrap`.",
        )
    # ldd ends with 1 where one of many files is no dynamic program: what it said of the others counts.
    return subprocess.run(
        [program, *arguments], capture_output=True, text=True, timeout=LDD_S, env={"LC_ALL": "C"}
    ).stdout
