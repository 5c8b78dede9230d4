"""A real sshd for each test that asks for one, and a listener to lead to."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import attrs
import psutil
import pytest

from prism_core.plugin import PublicListener
from prism_tunnel.config import SshConfig

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
SETTINGS = """
Port {port}
ListenAddress 127.0.0.1
HostKey {directory}/host
PidFile {directory}/sshd.pid
AuthorizedKeysFile {directory}/authorized_keys
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
GatewayPorts clientspecified
LogLevel VERBOSE
{more}
"""


@attrs.define
class Sshd:
    """An sshd on a port of 127.0.0.1, whose host key is known and which knows a key of ours."""

    directory: Path
    port: int
    process: subprocess.Popen[bytes]

    @property
    def key(self) -> Path:
        """The private key that it lets in."""
        return self.directory / "client"

    @property
    def fingerprint(self) -> str:
        """What ssh-keygen says of its host key."""
        shown = subprocess.run(
            ["ssh-keygen", "-lf", str(self.directory / "host.pub")],
            capture_output=True,
            check=True,
            text=True,
        )
        return shown.stdout.split()[1]

    def config(self, **changes: object) -> SshConfig:
        """Return settings with which it works; no key and no file of the user is looked at."""
        said = {
            "host": "127.0.0.1",
            "port": self.port,
            "keys": (str(self.key),),
            "agent": False,
            "known_hosts": (str(self.directory / "known_hosts"),),
            "remote_host": "127.0.0.1",
            "data_dir": str(self.directory / "data"),
        }
        return SshConfig(**{**said, **changes})

    def send(self, number: signal.Signals) -> None:
        """Signal it and what serves its connections, which is in sessions of their own."""
        serving = self.serving()
        self.process.send_signal(number)
        _send(serving, number)

    def cut(self) -> None:
        """End all connections, but not the server."""
        _send(self.serving(), signal.SIGKILL)

    def serving(self) -> list[psutil.Process]:
        """Return the processes of its connections."""
        return psutil.Process(self.process.pid).children(recursive=True)


def _send(processes: list[psutil.Process], number: signal.Signals) -> None:
    for one in processes:
        try:
            one.send_signal(number)
        except psutil.NoSuchProcess:
            pass


def make_key(path: Path, kind: str = "ed25519", passphrase: str = "") -> Path:
    """Make a key pair."""
    path.unlink(missing_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-f", str(path)], check=True)
    return path


def a_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def started(directory: Path, more: str = "", port: int = 0) -> Iterator[Sshd]:
    """Run an sshd while the context lasts."""
    if not SSHD:
        pytest.skip("sshd is not installed; apt-get install openssh-server")
    if os.getuid() == 0:  # where it shuts itself in while it speaks with strangers
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    directory.mkdir(exist_ok=True)
    port = port or a_free_port()
    for name in ("host", "client"):
        if not (directory / name).exists():
            make_key(directory / name)
    (directory / "authorized_keys").write_bytes((directory / "client.pub").read_bytes())
    public = " ".join((directory / "host.pub").read_text().split()[:2])
    (directory / "known_hosts").write_text(f"[127.0.0.1]:{port} {public}\n")
    settings = directory / "sshd_config"
    settings.write_text(SETTINGS.format(port=port, directory=directory, more=more))
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen([SSHD, "-D", "-e", "-f", str(settings)], stderr=log)
    sshd = Sshd(directory, port, process)
    try:
        _wait_for(sshd)
        yield sshd
    finally:
        if process.poll() is None:
            sshd.send(signal.SIGKILL)
        process.wait()


def _wait_for(sshd: Sshd) -> None:
    log = sshd.directory / "log"
    while "Server listening" not in log.read_text():
        assert sshd.process.poll() is None, log.read_text()
        time.sleep(0.005)


@pytest.fixture
def start_sshd(tmp_path):
    """Start one or more, each in a directory of its own."""
    with ExitStack() as stack:

        def start(name: str = "sshd", more: str = "", port: int = 0) -> Sshd:
            return stack.enter_context(started(tmp_path / name, more, port))

        yield start


@pytest.fixture
def sshd(start_sshd) -> Sshd:
    """Start one."""
    return start_sshd()


@pytest.fixture
async def listener():
    """Give a listener that answers every request with "prism"."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nprism")
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield PublicListener("127.0.0.1", server.sockets[0].getsockname()[1])


@pytest.fixture
def agent(tmp_path) -> Iterator[Path]:
    """Run an agent that has no key; give its socket."""
    path = tmp_path / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.DEVNULL) as process:
        while not path.exists():
            time.sleep(0.005)
        yield path
        process.kill()


@pytest.fixture
def new_key():
    """Make key pairs."""
    return make_key


@pytest.fixture
def free_port() -> int:
    """Return a port of 127.0.0.1 on which nothing listens."""
    return a_free_port()
