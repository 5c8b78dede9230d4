"""The tutorials' steps, run as they stand: files are written, commands run, outputs compared."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import site
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

START_S = 60


class Reader:
    """Somebody who works through a tutorial, in a directory and an environment of their own.

    Installed is what the tests have; what is installed on the way goes to the reader's environment alone.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.binaries = make_environment(directory / "environment")
        self.where = directory / "work"
        self.where.mkdir()
        self.public = "http://127.0.0.1:8000"
        self.output = ""
        self.server: subprocess.Popen[bytes] | None = None
        self.env = {name: value for name, value in os.environ.items() if not name.startswith("PRISM_")} | {
            "PATH": f"{self.binaries}{os.pathsep}{os.environ['PATH']}",
            "PRISM_HOST": "127.0.0.1",
            "PRISM_PORT": "0",
            "PRISM_ADMIN_PORT": "0",
            "PRISM_DATA_DIR": str(directory / "data"),
            "COLUMNS": "200",
        }

    def follow(self, blocks):
        """Do what each block says."""
        for block in blocks:
            file = next((mark.removeprefix("file=") for mark in block.marks if mark.startswith("file=")), "")
            if file:
                path = self.directory / "work" / file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(block.text)
            elif "run" in block.marks:
                self.run(block.text, fails="fails" in block.marks)
            elif "background" in block.marks:
                self.serve(block.text)
            elif "output" in block.marks:
                missing = [line for line in block.text.splitlines() if line not in self.output]
                assert not missing, f"{missing} not in:\n{self.output}"

    def run(self, text, *, fails):
        """Run a block in one shell, and stay where it went."""
        text = text.replace("http://127.0.0.1:8000", self.public)
        done = subprocess.run(
            ["bash", "-euc", f"{text}\npwd > {self.directory}/where"],
            cwd=self.where,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        self.output = done.stdout
        assert fails == bool(done.returncode), f"{text}\n{done.stdout}"
        if not fails:
            self.where = Path((self.directory / "where").read_text().strip())

    def serve(self, text):
        """Start a server as the tutorial says, and learn where it is."""
        log = (self.directory / "serve.log").open("wb")
        with log:
            self.server = subprocess.Popen(
                [*text.split(), "--json"], cwd=self.where, env=self.env, stdout=subprocess.PIPE, stderr=log
            )
        assert self.server.stdout
        line = self.server.stdout.readline()
        assert line, (self.directory / "serve.log").read_text()
        self.public = json.loads(line)["public"]

    def close(self):
        """Leave nothing behind."""
        if self.server:
            self.server.send_signal(signal.SIGINT)
            with self.server.stdout:
                code = self.server.wait(START_S)
            assert code in (0, 130), (self.directory / "serve.log").read_text()


def make_environment(path: Path) -> Path:
    """Make an environment that has what this one has, with ``pip`` and ``prism``; return its binaries."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(path)], check=True)
    binaries, python = path / "bin", path / "bin" / "python"
    packages = sysconfig.get_path("purelib", vars={"base": str(path), "platbase": str(path)})
    parents = [directory for directory in site.getsitepackages() if Path(directory).is_dir()]
    lines = "".join(f"import site; site.addsitedir({directory!r})\n" for directory in parents)
    (Path(packages) / "parent.pth").write_text(lines)
    write_script(binaries / "prism", f"#!{python}\nfrom prism_core.cli import main\nmain()\n")
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    install = f'exec "{uv}" pip install -q --python "{python}" --no-deps --no-build-isolation "${{@:2}}"'
    write_script(binaries / "pip", f"#!/usr/bin/env bash\n{install}\n")
    return binaries


def write_script(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def reader(tmp_path):
    reader = Reader(tmp_path)
    yield reader
    reader.close()


def test_your_first_model(reader, read_blocks):
    reader.follow(read_blocks("tutorial/first-model.md"))


def test_write_a_plugin_in_fifteen_minutes(reader, read_blocks):
    reader.follow(read_blocks("tutorial/write-a-plugin.md"))


def test_the_tutorials_say_what_is_run(read_blocks):
    """A step that is neither run nor written would rot unseen."""
    for page in ("tutorial/first-model.md", "tutorial/write-a-plugin.md"):
        silent = [block.text for block in read_blocks(page) if not block.marks]
        assert len(silent) <= 1, silent  # the installation itself
        assert any(re.search("prism upload", block.text) for block in read_blocks(page))
