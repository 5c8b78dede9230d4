"""The programs' fakes on the PATH, and nothing else."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import attrs
import psutil
import pytest

from prism_tunnel.programs.linker import open_program
from prism_tunnel.programs.table import PROGRAMS

SOURCE = Path(__file__).with_name("fake.py")


@attrs.frozen
class Fakes:
    """Fakes of programs, and what they left behind."""

    place: Path
    monkeypatch: pytest.MonkeyPatch

    def install(self, *names: str) -> None:
        """Put fakes on the PATH, which has nothing else then."""
        directory = self.place / "bin"
        directory.mkdir(exist_ok=True)
        for name in names:
            path = directory / name
            path.write_text(f"#!{sys.executable}\n{SOURCE.read_text()}")
            path.chmod(0o755)
        self.monkeypatch.setenv("PATH", str(directory))
        self.monkeypatch.setenv("FAKE_DIR", str(self.place))

    def goes_wrong(self, mode: str) -> None:
        """Let the fakes play something."""
        self.monkeypatch.setenv("FAKE_MODE", mode)

    def state(self, state: str) -> None:
        """Let a program say of itself what its connection is."""
        (self.place / "state").write_text(state)

    @property
    def port(self) -> int:
        """The port that stands for the public address of the last start."""
        return int((self.place / "port").read_text())

    @property
    def seen(self) -> dict:
        """What the last start was given."""
        return json.loads((self.place / "seen.json").read_text())

    @property
    def process(self) -> psutil.Process:
        """The process of the last start."""
        return psutil.Process(self.seen["pid"])

    @property
    def child(self) -> psutil.Process:
        """The child of that process."""
        return psutil.Process(int((self.place / "child").read_text()))


@pytest.fixture
def fakes(tmp_path, monkeypatch) -> Fakes:
    """Give fakes, of which none is installed yet."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("FAKE_MODE", "NGROK_AUTHTOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PRISM_TOKEN", "admin-s3cret")
    return Fakes(tmp_path, monkeypatch)


@pytest.fixture
def open_fake(fakes):
    """Open the provider of a program whose fake is installed."""

    def open_one(name: str, **said: object):
        program = next(one for one in PROGRAMS if one.name == name)
        fakes.install(program.commands[0])
        more = {"server": "frps.example.org", "url": "http://models.example.org"} if name == "frp" else {}
        return open_program(program.config(**{**more, **said}), program)

    return open_one
