"""Real Redis servers of our own: each test starts what it needs, on a free port, and ends it."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

import attrs
import pytest


@attrs.define(eq=False)
class RedisServer:
    """One ``redis-server``. Its Unix socket has the shortest way; a port is there for TLS and restarts."""

    directory: Path
    flags: tuple[str, ...]
    port: int = 0
    tls_port: int = 0
    process: subprocess.Popen = attrs.field(init=False)

    @property
    def socket(self) -> Path:
        return self.directory / "redis.sock"

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def start(self):
        """Start it and wait until it takes connections."""
        # In the foreground and without a file of its own: nothing outlives the test.
        command = ["redis-server", "--port", str(self.port), "--unixsocket", str(self.socket), "--save", ""]
        command += ["--dir", str(self.directory), *self.flags]
        if self.tls_port:
            command += ["--tls-port", str(self.tls_port)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if "ready to accept connections" in line.lower() and (str(self.socket) in line or "unix" in line):
                return self
        raise AssertionError("".join(lines))

    def run(self, *command):
        """Give it a command from outside, in ``redis-cli``'s words."""
        call = ["redis-cli", "-s", str(self.socket), *command]
        done = subprocess.run(call, capture_output=True, text=True, check=True, timeout=20)
        assert not done.stdout.startswith(("ERR", "WRONG", "NOAUTH")), done.stdout
        return done.stdout.strip()

    def pause(self):
        """Stop it in its tracks: its connections stay, and nothing is answered."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        self.process.kill()
        self.process.wait(10)
        self.process.stdout.close()

    def stop(self):
        if self.process.poll() is None:
            self.kill()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.fixture(scope="module")
def make_redis():
    """Return what starts a server with further flags; all are ended with the module's tests."""
    if not shutil.which("redis-server"):
        pytest.skip("redis-server is not installed; apt-get install redis-server")
    servers: list[RedisServer] = []
    # Short: the path of a Unix socket has 107 bytes.
    with tempfile.TemporaryDirectory(prefix="prism-redis-") as directory:

        def make(*flags: str, port: int = 0, tls_port: int = 0) -> RedisServer:
            place = Path(directory) / str(len(servers))
            place.mkdir()
            servers.append(RedisServer(place, flags, port, tls_port))
            return servers[-1].start()

        yield make
        for server in servers:
            server.stop()


@pytest.fixture(scope="module")
def redis(make_redis):
    """One server that the tests of a module share."""
    return make_redis()


@pytest.fixture(scope="module")
def locked_redis(make_redis):
    """A server with a password."""
    return make_redis("--requirepass", "sesam/öffne dich")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A key, and a certificate for 127.0.0.1 that signs itself."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed; apt-get install openssl")
    directory = tmp_path_factory.mktemp("tls")
    key, certificate = directory / "key.pem", directory / "certificate.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    command += ["-days", "1", "-subj", "/CN=prism", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    return key, certificate


@pytest.fixture(scope="module")
def tls_redis(make_redis, certificate):
    """A server that speaks TLS, with a password."""
    key, pem = map(str, certificate)
    flags = ["--tls-cert-file", pem, "--tls-key-file", key, "--tls-ca-cert-file", pem]
    return make_redis(*flags, "--tls-auth-clients", "no", "--requirepass", "sesam", tls_port=free_port())
