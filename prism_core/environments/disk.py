"""What lies in the directory of environments: ``<key>/`` with packages, ``<key>.json`` with its recipe.

A directory gets its key only when it is whole; what is being made has another name.
"""

from __future__ import annotations

import contextlib
import csv
import os
import shutil
import tempfile
import time
from collections.abc import Collection, Iterator
from pathlib import Path

import attrs
import msgspec
from packaging.utils import canonicalize_name

from prism_core.environment import Environment

# What is made, and what is about to be removed; none of it is left when nothing is under way.
SCRATCH = ".new-"
OLD = ".old-"
WHEELS = "wheels"
# How far a file's time may lie behind the clock.
CLOCKS_S = 0.1


@attrs.frozen
class Disk:
    """The directory of environments, as one server has it open since a moment in Unix seconds."""

    directory: Path
    since: float = attrs.field(factory=lambda: time.time() - CLOCKS_S, eq=False)

    def root(self, key: str) -> Path:
        """Return where an environment lies."""
        return self.directory / key

    def python(self, key: str) -> Path:
        """Return an environment's interpreter."""
        return self.root(key) / "bin" / "python"

    def recipe(self, key: str) -> Path:
        """Return the file of an environment's recipe."""
        return self.directory / f"{key}.json"

    @property
    def wheels(self) -> Path:
        """Where wheels lie that were made here."""
        return self.directory / WHEELS

    def read(self, key: str) -> Environment | None:
        """Return an environment by its recipe, None where there is none that can be read."""
        return _read(self.recipe(key))

    def write(self, environment: Environment, path: Path | None = None) -> Path:
        """Write a recipe in one step; return its path."""
        path = path or self.recipe(environment.key)
        content = environment.to_json()
        if not (path.is_file() and path.read_bytes() == content):
            self.directory.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self.directory, prefix=SCRATCH, delete=False) as file:
                file.write(content)
            os.replace(file.name, path)
        return path

    def environments(self) -> Iterator[Environment]:
        """Yield every environment that has a recipe, by key."""
        for path in sorted(self.directory.glob("[0-9a-f]*.json")):
            if (found := _read(path)) and found.key == path.stem:
                yield found

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """Yield an empty directory that is gone afterwards."""
        self.directory.mkdir(parents=True, exist_ok=True)
        path = Path(tempfile.mkdtemp(prefix=SCRATCH, dir=self.directory))
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def keep(self, made: Path, environment: Environment) -> None:
        """Let what was made be ``environment``, with its recipe."""
        self.place(made, environment.key)
        self.write(environment)

    def place(self, made: Path, key: str) -> None:
        """Let what was made be the environment ``key``; one that was there is removed."""
        root = self.root(key)
        if root.exists():
            old = Path(tempfile.mkdtemp(prefix=OLD, dir=self.directory))
            root.rename(old / key)
            made.rename(root)
            shutil.rmtree(old, ignore_errors=True)
        else:
            made.rename(root)

    def problem(self, environment: Environment) -> str:
        """Return what is wrong with an environment on disk, "" if it is whole.

        Every file that was installed is looked for; none is read or executed.
        """
        if not self.root(environment.key).is_dir():
            return "it is not there"
        if not self.python(environment.key).exists():
            return "its interpreter is gone"
        site = site_packages(self.root(environment.key))
        there = _versions(site)
        for pin in environment.pins:
            if there.get(pin.name) != pin.version:
                return f"{pin.name} {pin.version} is not in it"
        damaged = next((file for info in site.glob("*.dist-info") for file in _damaged(site, info)), "")
        return f"{damaged} is missing or empty" if damaged else ""

    def collect(self, wanted: Collection[str], keep: Collection[Path] = ()) -> list[str]:
        """Remove environments that nobody wants, and what was left behind; return the names of what went.

        ``keep`` are recipes and wheels that stay, beside those of ``wanted``.
        """
        if not self.directory.is_dir():
            return []
        of_wanted = [Path(pin.wheel) for one in self.environments() if one.key in wanted for pin in one.pins]
        wheels = {path.parent.name for path in (*keep, *of_wanted)}
        stay = {*keep, self.wheels}
        found = [p for p in self.directory.iterdir() if p not in stay]
        unwanted = [p for p in found if p.name.removesuffix(".json") not in wanted]
        if self.wheels.is_dir():
            unwanted += [path for path in self.wheels.iterdir() if path.name not in wheels]
        removed = [path for path in unwanted if not self._in_use(path)]
        for path in removed:
            _delete(path)
        return [path.relative_to(self.directory).as_posix() for path in removed]

    def _in_use(self, path: Path) -> bool:
        """Tell whether something is being made there, by this server: no other one has the directory."""
        try:
            return path.name.startswith((SCRATCH, OLD)) and path.lstat().st_mtime >= self.since
        except OSError:  # it is gone by itself
            return True


def site_packages(root: Path) -> Path:
    """Return where an environment's packages lie."""
    return next(iter(root.glob("lib/python3.*/site-packages")), root / "lib")


def size_bytes(root: Path) -> tuple[int, int]:
    """Return what an environment takes on disk: its own bytes, and those that it shares by hard links."""
    own = shared = 0
    for directory, _, names in os.walk(root):
        for name in names:
            told = os.lstat(os.path.join(directory, name))
            taken = told.st_blocks * 512
            own, shared = (own, shared + taken) if told.st_nlink > 1 else (own + taken, shared)
    return own, shared


def _read(path: Path) -> Environment | None:
    try:
        return Environment.from_json(path.read_bytes())
    except (OSError, msgspec.MsgspecError):
        return None


def _versions(site: Path) -> dict[str, str]:
    """Return what is installed: version by distribution."""
    stems = (path.name.removesuffix(".dist-info") for path in site.glob("*.dist-info"))
    return {canonicalize_name(name): version for name, _, version in (s.partition("-") for s in stems)}


def _damaged(site: Path, info: Path) -> Iterator[str]:
    """Yield the files of an installed distribution that are not there, or were cut to nothing."""
    try:
        with (info / "RECORD").open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.reader(file) if len(row) == 3]
    except (OSError, ValueError, csv.Error):
        yield f"{info.name}/RECORD"
        return
    for name, _, size in rows:
        try:
            there = os.stat(site / name).st_size
        except OSError:
            there = -1
        if there < 0 or (there == 0 and size not in ("", "0")):
            yield name


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
