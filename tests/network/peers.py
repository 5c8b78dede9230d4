"""Who lives on the internet of the tests: real servers, each in its place."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import httpx
import psutil

from prism_core.testing.server import PRISM, ServerProcess
from tests.network.internet import DOMAIN, RELAY
from tests.network.places import Place
from tests.network.stranger import Shared

SSH_PORT, RELAY_PORT = 22, 2222
SSHD = """
Port 22
ListenAddress {address}
HostKey {directory}/host
PidFile {directory}/sshd.pid
AuthorizedKeysFile {directory}/client.pub
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
AllowTcpForwarding remote
GatewayPorts clientspecified
ClientAliveInterval 2
ClientAliveCountMax 2
"""


class Laptop(ServerProcess):
    """A `prism serve` on somebody's laptop. What is asked of its owner's side is asked there."""

    def __init__(self, place: Place, data_dir: Path, *flags: str, config: str = "") -> None:
        super().__init__(data_dir, *flags, config=config, prefix=place.prefix)
        self.place = place

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a ``prism`` command there."""
        with self.place.entered():
            return super().run(*arguments, check=check)

    def admin(self, method: str, path: str, body: Any = None) -> Any:
        """Ask its admin API."""
        token = (self.data_dir / "admin-token").read_text()
        url, headers = f"{self.facts['admin']}/admin/v1{path}", {"Authorization": f"Bearer {token}"}
        with self.place.entered(), httpx.Client(headers=headers, timeout=60) as client:
            found = client.request(method, url, json=body)
            assert found.is_success, f"{found.status_code} {found.text}\n{self.log.read_text()[-4000:]}"
            return found.json() if found.content else None

    def public(self, path: str) -> Any:
        """Ask its public listener, as somebody at home does."""
        with self.place.entered():
            return httpx.get(self.url + path, timeout=60).raise_for_status().json()

    def share(self, model: str, factor: float, tunnel: str, **wish: Any) -> Shared:
        """Make a link, and wait until it works."""
        made = self.admin("POST", "/links", {"model": model, "tunnel": tunnel, **wish})
        self.until_up(tunnel)
        (shown,) = [one for one in self.admin("GET", "/links")["links"] if one["slug"] == made["slug"]]
        return Shared(
            shown["url"] + "#" + made["token"], shown["predict_url"], made["token"], made["slug"], factor
        )

    def until_ready(self, model: str) -> None:
        """Wait until a model that the settings name is served."""
        until(lambda: any(one["model"] == model for one in self.admin("GET", "/models")["models"]))
        until(lambda: self.admin("GET", f"/models/{model}")["versions"][-1]["state"] == "READY")

    def tunnel(self, name: str) -> dict[str, Any]:
        """Return what it says of a tunnel, {} if it has none."""
        found = self.admin("GET", "/tunnels")["tunnels"]
        return next((one for one in found if one["name"] == name), {})

    def until_up(self, name: str, seconds: float = 30.0) -> None:
        """Wait until a tunnel is up."""
        until(lambda: self.tunnel(name).get("state") == "up", seconds, lambda: self.tunnel(name))

    def pause(self) -> None:
        """Let it sleep, as a laptop does whose lid is closed."""
        for process in self.processes():
            process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        """Let it go on."""
        for process in self.processes():
            process.send_signal(signal.SIGCONT)


class Relay:
    """PRISM's own relay. It may be killed, and started again as it was."""

    def __init__(self, place: Place, directory: Path, *flags: str) -> None:
        self.place, self.directory, self.flags = place, directory, flags
        self.log = directory.parent / f"{directory.name}.log"
        self.process: subprocess.Popen[str] | None = None

    def command(self, *arguments: str) -> list[str]:
        """Return the words of a ``prism relay`` command there."""
        return [*self.place.prefix, *PRISM, "relay", *arguments, "--data-dir", str(self.directory), "--json"]

    def start(self) -> Relay:
        """Start it and wait until it listens."""
        ports = ("--domain", DOMAIN, "--http-port", "80", "--ssh-port", str(RELAY_PORT))
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command("serve", *ports, *self.flags), stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the relay did not open: {self.log.read_text()}"
        return self

    def join(self, name: str, *options: str) -> str:
        """Let a laptop publish a name; return what it joins with."""
        command = self.command("token", "create", name, *options)
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return str(json.loads(done.stdout)["join"])

    @property
    def pid(self) -> int:
        """Its process."""
        assert self.process is not None
        return self.process.pid

    def kill(self) -> None:
        """End it without a warning."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()

    def freeze(self) -> None:
        """Let it do nothing; the kernel still takes what is sent to it."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)


@contextmanager
def relay(place: Place, directory: Path, *flags: str) -> Iterator[Relay]:
    """Run a relay."""
    made = Relay(place, directory, *flags).start()
    try:
        yield made
    finally:
        made.kill()


@attrs.frozen
class Sshd:
    """An OpenSSH server, with the key of a client that it lets in."""

    directory: Path
    process: subprocess.Popen[bytes]

    @property
    def key(self) -> Path:
        """The client's private key."""
        return self.directory / "client"

    @property
    def known_hosts(self) -> Path:
        """What a client that has been here before knows of it."""
        return self.directory / "known_hosts"

    @property
    def config(self) -> dict[str, Any]:
        """What ``plugins.ssh`` says to come in, and to be reached at port 8080."""
        return {
            "host": "ssh.example.org", "user": "root", "keys": [str(self.key)], "agent": False,
            "known_hosts": [str(self.known_hosts)], "remote_host": "*", "remote_port": 8080,
        }  # fmt: skip


@contextmanager
def sshd(place: Place, directory: Path, address: str = RELAY) -> Iterator[Sshd]:
    """Run OpenSSH's own server on a public address."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in ("host", "client"):
        if not (directory / name).exists():
            keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / name)]
            subprocess.run(keygen, check=True)
    public = " ".join((directory / "host.pub").read_text().split()[:2])
    (directory / "known_hosts").write_text(f"{address},ssh.example.org {public}\n")
    (directory / "sshd_config").write_text(SSHD.format(directory=directory, address=address))
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where it locks up what talks to strangers
    command = [*place.prefix, "/usr/sbin/sshd", "-D", "-e", "-f", str(directory / "sshd_config")]
    with (directory / "sshd.log").open("ab") as log:
        process = subprocess.Popen(command, stderr=log)
    try:
        until(lambda: answers(place, address, SSH_PORT))
        yield Sshd(directory, process)
    finally:
        end(process)


def answers(place: Place, address: str, port: int) -> bool:
    """Return whether somebody listens."""
    with place.entered():
        try:
            socket.create_connection((address, port), 1).close()
        except OSError:
            return False
    return True


def end(process: subprocess.Popen[bytes]) -> None:
    """End a server and whatever it has started."""
    for child in [*psutil.Process(process.pid).children(recursive=True), process]:
        child.kill()
    process.wait()


def until(holds: Callable[[], Any], seconds: float = 20.0, told: Callable[[], Any] = lambda: "") -> None:
    """Wait for what has no event here."""
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends, f"it did not come to pass in {seconds} s: {json.dumps(told())}"
        time.sleep(0.02)
