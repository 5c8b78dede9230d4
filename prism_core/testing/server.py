"""A real ``prism serve`` in a process of its own, for tests that want the whole road."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

PRISM = [sys.executable, "-m", "prism_core.cli"]
STOP_S = 30.0


class ServerProcess:
    """One server on free loopback ports, with a data directory of its own.

    Use it as a context manager, or `start` and `stop` it. Its log lies beside the data
    directory, as ``<name>.log``.

    Parameters
    ----------
    data_dir
        The data directory; made if needed.
    flags
        Further flags of ``prism serve``; with ``--grpc-port 0`` it speaks gRPC, too.
    config
        The text of a ``prism.yaml``.
    prefix
        Words in front of the command, for instance ``["nice", "-n", "5"]``; may be changed until it starts.

    Attributes
    ----------
    facts
        What ``prism serve --json`` printed when it was ready.
    url
        Base URL of the public listener.
    """

    facts: dict[str, Any]
    url: str

    def __init__(self, data_dir: Path, *flags: str, config: str = "", prefix: Sequence[str] = ()) -> None:
        self.data_dir = data_dir
        self.prefix = list(prefix)
        self.log = data_dir.parent / f"{data_dir.name}.log"
        self.flags = list(flags)
        if config:
            path = data_dir.parent / f"{data_dir.name}.yaml"
            path.write_text(config)
            self.flags += ["--config", str(path)]

    def start(self) -> ServerProcess:
        """Start it and wait until it is ready."""
        # Without gRPC, which few tests speak; the flags of those that do come after these.
        ports = ("--host", "127.0.0.1", "--port", "0", "--admin-port", "0", "--grpc-port", "off")
        command = [*self.prefix, *PRISM, "serve", "--json", *ports]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--data-dir", str(self.data_dir), *self.flags],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"prism serve did not become ready: {self.log.read_text()}"
        self.facts = json.loads(line)
        self.url = self.facts["public"]
        return self

    @property
    def running(self) -> bool:
        """Whether the gateway's process is there."""
        return self.process.poll() is None

    def stop(self) -> int:
        """Ask it to stop, wait, and return its exit code; stopping twice is fine."""
        if self.running:
            # Not what it was started through; one that never became ready ends by itself.
            os.kill(getattr(self, "facts", {"pid": self.process.pid})["pid"], signal.SIGTERM)
        return self._ended()

    def kill(self) -> int:
        """End the gateway without a warning (SIGKILL) and return its exit code."""
        os.kill(self.facts["pid"], signal.SIGKILL)
        return self._ended()

    def _ended(self) -> int:
        code = self.process.wait(STOP_S)
        if self.process.stdout:
            self.process.stdout.close()
        return code

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a ``prism`` command against this server; with ``check``, its failure fails the test."""
        command = [*PRISM, *arguments, "--data-dir", str(self.data_dir)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert not check or done.returncode == 0, f"{done.stderr}\n{self.log.read_text()}"
        return done

    def json(self, *arguments: str) -> Any:
        """Run a ``prism`` command with ``--json`` and return what it printed."""
        return json.loads(self.run(*arguments, "--json").stdout)

    def upload(self, path: Path, *options: str) -> Any:
        """Upload an artifact through the command line; return what ``prism upload --json`` prints."""
        return self.json("upload", str(path), *options)

    def metrics(self) -> str:
        """Return what Prometheus would be told."""
        import httpx

        token = (self.data_dir / "admin-token").read_text()
        answer = httpx.get(f"{self.facts['admin']}/metrics", headers={"Authorization": f"Bearer {token}"})
        return answer.raise_for_status().text

    def processes(self) -> list[psutil.Process]:
        """Return the gateway's process and all below it."""
        gateway = psutil.Process(self.process.pid)
        return [gateway, *gateway.children(recursive=True)]

    def __enter__(self) -> ServerProcess:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
