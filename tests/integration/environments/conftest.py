"""uv as it is, and packages of a few lines: a directory of wheels is the index, and nothing is downloaded."""

from __future__ import annotations

import base64
import hashlib
import os
import stat
import tarfile
import zipfile
from io import BytesIO
from pathlib import Path

import attrs
import pytest

from prism_core.environments import environments as module
from prism_core.environments.environments import Environments
from prism_core.environments.needs import needed
from prism_core.environments.uv import find_uv
from prism_core.settings import EnvironmentSettings


def wheel(directory: Path, name: str, version: str, requires=(), files=None) -> Path:
    """Write a wheel with a module that says its version, or ``files``."""
    info = f"{name}-{version}.dist-info"
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    content = files or {f"{name}.py": f"VERSION = {version!r}\n"}
    content[f"{info}/METADATA"] = "\n".join([*lines, *(f"Requires-Dist: {r}" for r in requires), ""])
    content[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    content[f"{info}/RECORD"] = "".join(
        f"{row}\n" for row in (*map(_row, content.items()), f"{info}/RECORD,,")
    )
    path = directory / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in content.items():
            archive.writestr(file, text)
    return path


def _row(item: tuple[str, str]) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(item[1].encode()).digest()).rstrip(b"=").decode()
    return f"{item[0]},sha256={digest},{len(item[1])}"


BACKEND = """
import shutil
def build_wheel(directory, settings=None, metadata=None):
    open({ran!r}, "w").close()
    return shutil.copy("source-1-py3-none-any.whl", directory).rpartition("/")[2]
"""


def source(directory: Path, ran: Path) -> None:
    """Write a source distribution that has no wheel; building it makes the file ``ran``."""
    project = '[project]\nname = "source"\nversion = "1"\n'
    system = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    files = {
        "pyproject.toml": system + project,
        "backend.py": BACKEND.format(ran=str(ran)),
        "PKG-INFO": "Metadata-Version: 2.2\nName: source\nVersion: 1\n",
    }
    built = wheel(ran.parent, "source", "1")
    with tarfile.open(directory / "source-1.tar.gz", "w:gz") as archive:
        archive.add(built, f"source-1/{built.name}")
        for name, text in files.items():
            entry = tarfile.TarInfo(f"source-1/{name}")
            entry.size = len(text)
            archive.addfile(entry, BytesIO(text.encode()))


class Stage:
    """A directory of wheels, an installed plugin of one line, and a uv that is watched."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.index = path / "index"
        self.site = path / "site"
        self.log = path / "uv.log"
        self.uv = path / "uv"
        self.index.mkdir()
        self.wheel("uvloop", "1")
        self.plugin()
        self.watch()

    def plugin(self, code: str = "A = 1\n", requires: str = "") -> None:
        """Install the plugin ``tiny`` with this code, as a server has it."""
        info = self.site / "tiny-1.dist-info"
        info.mkdir(parents=True, exist_ok=True)
        (self.site / "tiny.py").write_text(code)
        lines = "Metadata-Version: 2.1\nName: tiny\nVersion: 1\n"
        (info / "METADATA").write_text(lines + (f"Requires-Dist: {requires}\n" if requires else ""))
        (info / "RECORD").write_text("tiny.py,,\ntiny-1.dist-info/METADATA,,\n")

    def watch(self, before: str = "") -> None:
        """Let uv be run after ``before``, a line of shell; what it is asked is written down."""
        self.uv.write_text(f'#!/bin/sh\necho "$1 $2" >> {self.log}\n{before}\nexec {find_uv()} "$@"\n')
        self.uv.chmod(self.uv.stat().st_mode | stat.S_IXUSR)

    @property
    def runs(self) -> list[str]:
        """What uv was asked to do, without the options."""
        return [line.split()[1] if "pip" in line else "venv" for line in self.log.read_text().splitlines()]

    def wheel(self, name: str, version: str, *requires: str, **more) -> Path:
        """Put a wheel into the index."""
        return wheel(self.index, name, version, requires, **more)

    def open(self, **settings) -> Environments:
        """Open the environments, as a server that starts."""
        return Environments(self.path / "environments", EnvironmentSettings(**settings))

    @property
    def left(self) -> list[str]:
        """What lies in the directory of environments, but wheels."""
        found = self.path / "environments"
        return sorted(p.name for p in found.iterdir() if p.name != "wheels") if found.is_dir() else []


@attrs.frozen
class Asked:
    """An environment, as an upload asks for it."""

    stage: Stage

    async def __call__(self, environments: Environments, *requirements: str, python="", tell=None, mode=""):
        """Choose and make an environment; return it, None where it is the server's."""
        heard = tell or (lambda _: None)
        needs = needed((), requirements, python)
        async with environments.chosen(needs, ["tiny"], mode, heard) as choice:
            return None if choice.key == "server" else await environments.ready(choice.key, ["tiny"], heard)


@pytest.fixture
def stage(tmp_path, monkeypatch):
    made = Stage(tmp_path)
    for name in [name for name in os.environ if name.startswith(("UV_", "PIP_"))]:
        monkeypatch.delenv(name)
    settings = made.site / "uv.toml"  # the user's own: it is respected
    settings.write_text(f'no-index = true\nfind-links = ["{made.index}"]\n')
    monkeypatch.setenv("UV_CONFIG_FILE", str(settings))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "find_uv", lambda: str(made.uv))
    monkeypatch.syspath_prepend(str(made.site))
    return made


@pytest.fixture
def asked(stage):
    return Asked(stage)
