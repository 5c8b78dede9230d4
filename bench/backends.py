"""One model behind each isolation backend of one server: latency, cold start and memory.

    .venv/bin/python -m bench.backends [--backends process,fresh,podman] [--rounds 10] [--calls 300]

``process`` forks replicas from a warm process; ``fresh`` is the same backend with two threads for the
model, for which it starts a fresh interpreter, as a container does.

They take turns, so that all of them see the same machine: in each round every one is asked one row after
the other over one connection, then stopped, started, and asked once more.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attrs

from bench.start import train
from prism_core.cli.client import Address, AdminClient
from prism_core.testing.server import ServerProcess

BODY = b'{"input": [[1.0, 2.0, 3.0, 4.0]]}'
HEADERS = {"Content-Type": "application/json", "Cache-Control": "no-store"}
# What an upload says to have a model there.
OPTIONS = {
    "process": ("--isolation", "process"),
    "fresh": ("--isolation", "process", "--threads", "2"),
    "podman": ("--isolation", "podman"),
}
# Unloading ends a process or a container; nothing of that should be left in what is measured next.
SETTLE_S = 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--backends", default=",".join(OPTIONS))
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--calls", type=int, default=300, help="in each round")
    parser.add_argument("--config", type=Path, help="a prism.yaml, for settings of the backends")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-backends-") as directory:
        artifact = train(Path(directory))["sklearn"]
        config = asked.config.read_text() if asked.config else ""
        with ServerProcess(Path(directory) / "data", config=config) as server:
            subjects = [Subject.made(server, name, artifact) for name in asked.backends.split(",")]
            for _ in range(asked.rounds):
                for subject in subjects:
                    subject.latencies_us += warm(subject, asked.calls)
                for subject in subjects:
                    subject.cold_ms.append(cold(subject))
            report(subjects)
        remove_images(server)


def remove_images(server: ServerProcess) -> None:
    """Remove the images that were made for it."""
    podman = shutil.which("podman")
    if podman:
        label = f"label=prism.server={(server.data_dir / 'server-id').read_text().strip()}"
        listed = [podman, "images", "--quiet", "--filter", label]
        found = subprocess.run(listed, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
        for image in found:
            subprocess.run([podman, "rmi", image], check=True, stdout=subprocess.DEVNULL)


@attrs.define
class Subject:
    """A model behind one backend, and what was measured of it."""

    server: ServerProcess
    backend: str
    upload_s: float
    latencies_us: list[float] = attrs.field(factory=list)
    cold_ms: list[float] = attrs.field(factory=list)

    @classmethod
    def made(cls, server: ServerProcess, backend: str, artifact: Path) -> Subject:
        """Upload the model."""
        begun = time.perf_counter()
        server.upload(artifact, "--name", backend, *OPTIONS[backend])
        return cls(server, backend, time.perf_counter() - begun)

    def call(self, method: str, path: str) -> Any:
        """Ask the admin API about the model."""
        token = (self.server.data_dir / "admin-token").read_text().strip()
        with contextlib.closing(AdminClient(Address(self.server.facts["admin"], token))) as client:
            return client.call(method, f"/models/{self.backend}{path}")

    def replica(self) -> dict[str, Any]:
        """Return what the server says of the replica."""
        (found,) = self.call("GET", "/versions/1")["replicas"]
        return dict(found)

    @contextlib.contextmanager
    def connected(self):
        """Open a connection; gives what asks for one prediction and returns how many microseconds it took."""
        url = urlsplit(self.server.url)
        connection = http.client.HTTPConnection(url.hostname or "", url.port)

        def ask() -> float:
            begun = time.perf_counter()
            connection.request("POST", f"/model/{self.backend}/predict", BODY, HEADERS)
            response = connection.getresponse()
            answer = response.read()
            assert response.status == 200, answer
            return (time.perf_counter() - begun) * 1e6

        with contextlib.closing(connection):
            yield ask


def warm(subject: Subject, calls: int) -> list[float]:
    """Return how long each of so many calls took, after some that do not count."""
    with subject.connected() as ask:
        for _ in range(50):
            ask()
        return [ask() for _ in range(calls)]


def cold(subject: Subject) -> float:
    """Unload the model; return how many milliseconds its next call takes."""
    subject.call("POST", "/stop")
    time.sleep(SETTLE_S)
    begun = time.perf_counter()
    subject.call("POST", "/start")
    with subject.connected() as ask:
        ask()
    return (time.perf_counter() - begun) * 1e3


def report(subjects: list[Subject]) -> None:
    """Print a line for each, and how it stands to the first."""
    print("| backend | p50 us | p99 us | beside the first | cold start ms | own memory MB | first upload s |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    first = statistics.median(subjects[0].latencies_us)
    for one in subjects:
        p50, p99 = statistics.median(one.latencies_us), statistics.quantiles(one.latencies_us, n=100)[98]
        print(
            f"| {one.backend} | {p50:.0f} | {p99:.0f} | {p50 / first - 1:+.0%} "
            f"| {statistics.median(one.cold_ms):.0f} | {one.replica()['memory_bytes'] / 2**20:.1f} "
            f"| {one.upload_s:.1f} |"
        )


if __name__ == "__main__":
    main()
